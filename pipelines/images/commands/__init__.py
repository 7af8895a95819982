"""The commands of `recsys images`."""
