"""Retention: what the tools keep has limits by age and count, and whoever is erased leaves all of it."""
