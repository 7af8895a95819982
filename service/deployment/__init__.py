"""What is in service: loading, swapping and watching bundles."""
