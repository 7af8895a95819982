"""The weekly job: from the newest events to the model in service, step by step, each of which can be run again."""
