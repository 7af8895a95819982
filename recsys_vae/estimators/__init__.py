"""Estimators: every model of the catalogue with `fit`, `recommend` and `save`, from ids to ids."""
