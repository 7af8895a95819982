"""From interaction logs to recommendations: the pipelines behind the command `recsys`."""
