"""Search for settings on the validation part."""
