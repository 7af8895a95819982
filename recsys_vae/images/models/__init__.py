"""The image models, one file each, and their catalog."""
