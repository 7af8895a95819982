"""Commands that work on the event store."""
