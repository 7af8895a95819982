"""`recsys images sample, reconstruct, interpolate, traverse, map, curves, codebook`: pictures of a trained model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.images.commands.remarks import subject_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pipelines.images.inputs import Opened

LARGEST_SEED = 2**32 - 1
"""That scikit-learn takes."""
Model = Annotated[Path, typer.Argument(help="Folder that `recsys images train` wrote.", metavar="MODEL")]
Picture = Annotated[Path, typer.Option("--to", help="Picture to write: .png, .svg or .pdf.", show_default=False)]
Data = Annotated[str | None, typer.Option(help="Images, named as for `train`.  [default: what the model learned from]")]
Part = Annotated[str, typer.Option(help="train, validation or test part of the images.")]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of everything that is drawn.")]
Steps = Annotated[int, typer.Option(min=2, help="Images from one end to the other.")]


def mount(images: typer.Typer) -> None:
    """Add the verbs to `recsys images`."""
    for verb in (sample, reconstruct, interpolate, traverse, curves, codebook):
        images.command()(verb)
    images.command("map")(map_codes)


def sample(
    model: Model,
    to: Picture,
    *,
    n: Annotated[int, typer.Option(min=1, help="Images to draw; of each class with --by-class.")] = 64,
    label: Annotated[int | None, typer.Option(min=0, help="Draw this class only, of a conditional model.")] = None,
    by_class: Annotated[bool, typer.Option("--by-class", help="A row of --n images for each class.")] = False,
    seed: Seed = 0,
) -> None:
    """Draw new images."""
    from pipelines.images.figures import class_samples, samples

    opened = _opened(model, to)
    figure = class_samples(opened, n, seed) if by_class else samples(opened, n, label, seed)
    _keep(figure, to, opened)


def reconstruct(
    model: Model,
    to: Picture,
    *,
    data: Data = None,
    part: Part = "test",
    n: Annotated[int, typer.Option(min=1, help="Images to show.")] = 10,
) -> None:
    """Show images above what the model makes of them, and how far apart they are."""
    from pipelines.images.figures import distance, reconstructions

    opened = _opened(model, to)
    subject = subject_of(opened, data, part)
    print(distance(subject))
    _keep(reconstructions(subject.first(n)), to, opened)


def interpolate(
    model: Model,
    to: Picture,
    *,
    data: Data = None,
    part: Part = "test",
    path: Annotated[str, typer.Option(help="linear, spherical or both.")] = "both",
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of images to go between.")] = 4,
    steps: Steps = 10,
) -> None:
    """Walk from the code of one image to that of another."""
    from pipelines.images.figures import paths

    opened = _opened(model, to)
    subject = subject_of(opened, data, part).first(2 * pairs)
    _keep(paths(subject, kind=path, steps=steps), to, opened)


def traverse(
    model: Model,
    to: Picture,
    *,
    data: Data = None,
    part: Part = "test",
    image: Annotated[int, typer.Option(min=0, help="Number of the image to start from.")] = 0,
    dimensions: Annotated[int, typer.Option(min=1, help="How many, those that vary most first.")] = 10,
    steps: Steps = 9,
) -> None:
    """Move one dimension of a code at a time."""
    from pipelines.images.figures import MAPPED, traversal

    opened = _opened(model, to)
    subject = subject_of(opened, data, part).first(max(image + 1, MAPPED))
    _keep(traversal(subject, image=image, dimensions=dimensions, steps=steps), to, opened)


def map_codes(
    model: Model,
    to: Picture,
    *,
    data: Data = None,
    part: Part = "test",
    method: Annotated[str, typer.Option(help="direct (codes of two dimensions), pca or tsne.")] = "pca",
    n: Annotated[int, typer.Option(min=3, help="Images to place.")] = 2000,
    seed: Seed = 0,
) -> None:
    """Place the codes of images in the plane, coloured by label."""
    from pipelines.images.figures import latent_map

    opened = _opened(model, to)
    _keep(latent_map(subject_of(opened, data, part).first(n), method=method, seed=seed), to, opened)


def curves(model: Model, to: Picture) -> None:
    """Draw what was measured after each epoch of the training."""
    from pipelines.images.figures import training_curves

    opened = _opened(model, to)
    _keep(training_curves(opened), to, opened)


def codebook(model: Model, to: Picture, *, data: Data = None, part: Part = "test") -> None:
    """Draw how often each code of a VQ model is chosen."""
    from pipelines.images.figures import codebook_use

    opened = _opened(model, to)
    _keep(codebook_use(subject_of(opened, data, part)), to, opened)


def _opened(model: Path, to: Path) -> "Opened":
    from pipelines.images.inputs import open_model
    from pipelines.images.output_files import PICTURE, PICTURES, check_place

    check_place(to, PICTURES, PICTURE)  # before the work, not after
    return open_model(model)


def _keep(figure: "Figure", to: Path, opened: "Opened") -> None:
    from pipelines.images.output_files import keep_with_run, save_figure

    save_figure(figure, to)
    print(f"{to} ({keep_with_run(to, opened.run_id)})")
