"""A trained model as one directory, and what answers at which length of history."""
