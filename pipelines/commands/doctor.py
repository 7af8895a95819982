"""Placeholder while the house is being built."""

import typer


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
