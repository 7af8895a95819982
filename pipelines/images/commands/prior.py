"""`recsys images fit-prior`: make a VQ model able to draw."""

from typing import Annotated

import typer

from pipelines.commands.settings import Set, chosen
from pipelines.images.commands.figures import Data, Model
from pipelines.images.commands.settings import Device, LearningRate, Precision


def mount(images: typer.Typer) -> None:
    """Add the verb to `recsys images`."""
    images.command()(fit_prior)


def fit_prior(
    model: Model,
    *,
    prior: Annotated[str, typer.Option(help="pixelcnn or transformer.")] = "pixelcnn",
    data: Data = None,
    by_class: Annotated[bool, typer.Option("--by-class", help="Conditional on the labels.")] = False,
    sets: Set = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Planned passes over the codes.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images a step.")] = None,
    learning_rate: LearningRate = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of initialisation and order.")] = None,
    device: Device = None,
    precision: Precision = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted fit.")] = False,
) -> None:
    """Fit a prior over the codes of a vq-vae or vq-vae-2, so that it can sample; MODEL is written anew with it."""
    from pipelines.images.prior import fit_saved_prior
    from recsys_vae.locks import exclusive

    settings = chosen(
        sets,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
        precision=precision,
    )
    place = model.expanduser().resolve()
    with exclusive(place):
        fitted = fit_saved_prior(place, prior, settings, data=data, by_class=by_class, resume=resume)
    print(
        f"{prior} over {fitted.codes} codes an image, epoch {fitted.epoch}; on validation {fitted.nats:.2f} nats or "
        f"{fitted.bits:.1f} bits an image, {fitted.nats / fitted.codes:.3f} nats a code"
    )
    print(f"model  {model}  ({fitted.manifest.version})")
    print(f"run    {fitted.run_id}")
