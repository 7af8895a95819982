"""Image datasets, training and figures as files."""
