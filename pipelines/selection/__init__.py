"""Which model to ship: candidates are trained, tuned a little, measured, and one is recommended."""
