"""Evaluate bundles; tables, reports and plots."""
