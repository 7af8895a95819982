"""`recsys images`: the verbs about image models, each group of them in a file of its own."""

from importlib import import_module

import typer

GROUPS = ("train", "prior", "figures", "applications")


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    images = typer.Typer(help="Autoencoders of images: train them, look at what they do.", no_args_is_help=True)
    for group in GROUPS:
        import_module(f"pipelines.images.commands.{group}").mount(images)
    app.add_typer(images, name="images")
