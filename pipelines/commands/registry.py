"""`recsys register` and `recsys promote`: a bundle becomes a version, a version becomes the one that is served."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(register)
    app.command()(promote)


def register(
    bundle: Annotated[Path, typer.Argument(help="Bundle that `recsys train` or `recsys publish` wrote.")],
    name: Annotated[
        str | None, typer.Option("--as", help="Registered model; default: the name of the bundle's dataset.")
    ] = None,
) -> None:
    """Register a bundle whose registration failed or was cut off, or under another name; the challenger is it now."""
    from pipelines.artifacts import registration

    done = registration.register(bundle.expanduser().resolve(), name)
    note = "alias challenger" if done.is_new else "it was registered already"
    print(f"{done.manifest.version} is models:/{done.name}/{done.version}  ({note})")


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
