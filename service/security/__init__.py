"""Keys, scopes, rate limits, checks of the address."""
