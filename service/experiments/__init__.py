"""Experiments: how variants in service fare, by what was shown and what users did."""
