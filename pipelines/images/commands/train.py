"""`recsys images models` and `recsys images train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.settings import Set, chosen
from pipelines.images.commands.remarks import tell_remarks
from pipelines.images.commands.settings import CheckpointSeconds, Device, LearningRate, Precision

if TYPE_CHECKING:
    from pipelines.images.splits import ImageParts
    from pipelines.images.train import ImageOutput, TrainedImageModel


def mount(images: typer.Typer) -> None:
    """Add the verbs to `recsys images`."""
    images.command()(models)
    images.command()(train)


def models() -> None:
    """List the image models and their settings."""
    from dataclasses import asdict

    from rich.table import Table

    from pipelines.console import output_console
    from recsys_vae.images.models.catalog import CATALOG

    table = Table("model", "what it is", "settings (--set NAME=VALUE)")
    for name, entry in CATALOG.items():
        table.add_row(name, entry.summary, "\n".join(f"{key}={value}" for key, value in asdict(entry.config()).items()))
    output_console().print(table)


def train(
    model: Annotated[str, typer.Option(help="Name of a model; `recsys images models` lists them.")],
    data: Annotated[
        str, typer.Option(help="mnist, fashion-mnist, digits, shapes, or a folder of pictures (subfolders: classes).")
    ],
    to: Annotated[Path, typer.Option("--to", help="Directory of the trained model.", show_default=False)],
    *,
    size: Annotated[
        int | None, typer.Option(min=1, help="Side of the images of shapes and folders, in pixels.")
    ] = None,
    colour: Annotated[bool, typer.Option("--colour", help="Read a folder's pictures as red, green and blue.")] = False,
    sets: Set = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Planned passes over the images.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images a step.")] = None,
    learning_rate: LearningRate = None,
    pixels: Annotated[
        str | None, typer.Option(help="static, dynamic, grayscale, or auto: what suits the model.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of initialisation, order, pixels, dropout and sampling.")
    ] = None,
    device: Device = None,
    precision: Precision = None,
    checkpoint_seconds: CheckpointSeconds = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model that stands there.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
) -> None:
    """Train an image model; its best epoch is chosen on validation. Tracked by MLflow."""
    from pipelines.images.datasets import load_images
    from pipelines.images.train import ImageOutput, specify_image_model, train_image_model
    from recsys_vae.images.saved import WRITTEN
    from recsys_vae.locks import exclusive
    from recsys_vae.outputs import check_output

    settings = chosen(
        sets,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        pixels=pixels,
        seed=seed,
        device=device,
        precision=precision,
        checkpoint_seconds=checkpoint_seconds,
    )
    output = ImageOutput(check_output(to, WRITTEN), overwrite)
    spec = specify_image_model(model, settings)
    parts = load_images(data, size=size, colour=colour)
    tell_remarks(parts)
    with exclusive(output.path):
        trained = train_image_model(parts, spec, output, resume=resume)
    _tell(trained, parts, output)


def _tell(trained: "TrainedImageModel", parts: "ImageParts", output: "ImageOutput") -> None:
    from rich.table import Table

    from pipelines.console import output_console

    origin, console = trained.manifest.origin, output_console()
    sizes = f"{len(parts.train):,} images to learn from, {len(parts.validation):,} for validation ({parts.split})"
    console.print(f"{trained.manifest.version} on {parts.name}, {origin.pixels} pixels: {sizes}", soft_wrap=True)
    table = Table(f"on {origin.metrics_on}", "nats an image")
    for name, value in origin.metrics.items():
        table.add_row(name.removeprefix(f"{origin.metrics_on}_"), f"{value:.3f}")
    console.print(table)
    planned = len(trained.result.history)
    console.print(f"model  {output.path}  (epoch {origin.epochs} of {planned}, {origin.seconds:.0f} s)", soft_wrap=True)
    console.print(f"run    {trained.run_id}", soft_wrap=True)
