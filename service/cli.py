"""The service's verbs, mounted into `recsys` through the entry-point group `recsys.commands`."""

import typer


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
