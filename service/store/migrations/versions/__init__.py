"""One file a migration. They describe the past, so they do not import tables.py."""
