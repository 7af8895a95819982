"""Interactions, ids and features as arrays."""
