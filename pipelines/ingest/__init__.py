"""From raw logs to clean tables; every dropped row is counted."""
