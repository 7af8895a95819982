"""The verbs of the command `recsys`, one file a group; each file has a `mount`."""
