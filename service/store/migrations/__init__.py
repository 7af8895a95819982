"""Migrations, in Alembic's layout."""
