"""The database below the event store: its tables, their migrations, connections and transactions."""
