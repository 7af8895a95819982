"""`recsys promote`: choose the version that is served as champion."""

import sys
from typing import Annotated

import typer


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(promote)


def promote(
    name: Annotated[str, typer.Argument(help="Registered model; `recsys train` names it after the dataset.")],
    version: Annotated[
        str | None, typer.Option(help="Version to promote; default: the challenger.", show_default=False)
    ] = None,
) -> None:
    """Make a registered version the champion; `recsys serve --model models:/NAME@champion` serves it."""
    from pipelines.artifacts import mlflow_registry

    done = mlflow_registry.promote(name, version)
    print(f"models:/{done.name}@champion is now version {done.version} ({done.bundle}).")
    if done.previous not in (None, done.version):
        print(f"Before it was version {done.previous}. Back: recsys promote {done.name} --version {done.previous}")
    if done.warning:
        print(f"warning: {done.warning}", file=sys.stderr)
