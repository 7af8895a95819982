"""A dataset directory: its tables, matrices, features and splits."""
