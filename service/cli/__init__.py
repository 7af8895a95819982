"""The service's commands, mounted into `recsys`."""

from service.cli.commands import mount

__all__ = ["mount"]
