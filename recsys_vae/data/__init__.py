"""Interactions, histories, ids and features as arrays."""
