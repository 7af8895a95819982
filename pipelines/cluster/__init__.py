"""A Ray cluster: how a command is connected with it, and how its work goes there."""
