"""Layers, objectives and schedules that models share."""
