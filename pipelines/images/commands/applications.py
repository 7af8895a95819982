"""`recsys images score, embed, denoise, fit-prior`: what a trained model is used for."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.images.commands.figures import Data, Model, Part, Seed
from pipelines.images.commands.remarks import subject_of

Files = Annotated[
    list[Path] | None, typer.Argument(help="Pictures, or folders of them; else --data.", show_default=False)
]
Table = Annotated[Path, typer.Option("--to", help="Table to write: .parquet or .csv.", show_default=False)]
Probe = Annotated[bool, typer.Option("--probe", help="Say how well a linear classifier reads labels from the codes.")]


def mount(images: typer.Typer) -> None:
    """Add the verbs to `recsys images`."""
    images.command()(score)
    images.command()(embed)
    images.command()(denoise)


def score(
    model: Model,
    files: Files = None,
    *,
    to: Table,
    data: Data = None,
    part: Part = "test",
    by: Annotated[str, typer.Option(help="error, relative-error, scaled-error or elbo.")] = "scaled-error",
    ordinary: Annotated[str | None, typer.Option(help="Label that is ordinary; all others are anomalies.")] = None,
) -> None:
    """Score how strange each image is: higher is stranger; with --ordinary, say how well that separates."""
    from pipelines.images.applications import scored, separation
    from pipelines.images.inputs import open_model
    from pipelines.images.output_files import TABLE, TABLES, check_place, keep_with_run, save_table

    check_place(to, TABLES, TABLE)
    opened = open_model(model)
    subject = subject_of(opened, data, part, files)
    table = scored(subject, by)
    told = separation(table, ordinary)
    save_table(table, to)
    print(f"{subject.source}, {len(table):,} images, {by}: {told}")
    print(f"{to} ({keep_with_run(to, opened.run_id)})")


def embed(
    model: Model, files: Files = None, *, to: Table, data: Data = None, part: Part = "test", probe: Probe = False
) -> None:
    """Write the code of each image, as features for something else."""
    from pipelines.images.applications import embedded, probed
    from pipelines.images.inputs import open_model
    from pipelines.images.output_files import TABLE, TABLES, check_place, save_table

    check_place(to, TABLES, TABLE)
    opened = open_model(model)
    subject = subject_of(opened, data, part, files)
    if probe:
        print(probed(opened.before(data, "train"), subject))
    table = embedded(subject)
    save_table(table, to)
    print(f"{to}: {len(table):,} codes")


def denoise(
    model: Model,
    files: Files = None,
    *,
    to: Annotated[Path, typer.Option("--to", help="Folder for the files; or with --data a picture to write.")],
    data: Data = None,
    part: Part = "test",
    n: Annotated[int, typer.Option(min=1, help="Images in that picture.")] = 10,
    seed: Seed = 0,
) -> None:
    """Clean pictures; without files, show images with noise added and what is left of it."""
    from pipelines.images.applications import clean_files, denoised
    from pipelines.images.inputs import open_model
    from pipelines.images.output_files import PICTURE, PICTURES, check_place, keep_with_run, save_figure

    if files:
        written = clean_files(subject_of(open_model(model), data, part, files), to)
        print(f"{to}: {len(written):,} pictures")
        return
    check_place(to, PICTURES, PICTURE)
    opened = open_model(model)
    save_figure(denoised(subject_of(opened, data, part).first(n), seed), to)
    print(f"{to} ({keep_with_run(to, opened.run_id)})")
