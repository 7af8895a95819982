"""Simulation: the log of a world as files, here or in a bucket."""
