"""Formats of the field: each a frozen description, recognised by a small function."""
