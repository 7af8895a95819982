"""Splits, metrics and their statistics."""
