"""The HTTP layer: routes, conversion, limits."""
