"""Configurations, one file a model: frozen dataclasses that can be made, listed and refused without torch."""
