"""Sources: logs that are no files of this machine, as files of this machine: addresses, lake tables, databases."""
