"""`recsys split` and `recsys evaluate`."""

from datetime import datetime

import typer

DATASET = typer.Argument(help="Name of an ingested dataset, or its folder.")


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("split")(split)


def split(
    dataset: str = DATASET,
    *,
    protocol: str = typer.Option(..., help="strong, temporal, last-out or given."),
    name: str | None = typer.Option(None, help="Name of the split; its protocol when not given."),
    seed: int | None = typer.Option(None, help="Seed of the draw [strong, given]."),
    heldout: float | None = typer.Option(
        None, help="Users for validation, and as many for test: a share below 1 or a count [strong; 0.1]."
    ),
    fold_in: float | None = typer.Option(None, help="Share of a held-out user's items that is shown [strong; 0.8]."),
    min_items: int | None = typer.Option(None, help="Leave out users with fewer items [strong; 5]."),
    validation: float | None = typer.Option(
        None,
        help="Share for validation: of each user's training items [given; 0.1], of all interactions [temporal; 0.1].",
    ),
    test: float | None = typer.Option(None, help="Share of all interactions for test [temporal; 0.1]."),
    validation_from: datetime | None = typer.Option(None, help="Moment the validation window begins, UTC [temporal]."),
    test_from: datetime | None = typer.Option(None, help="Moment the test window begins, UTC [temporal]."),
    validation_users: int | None = typer.Option(None, help="Draw validation from so many users only [given; all]."),
) -> None:
    """Cut a dataset into training, validation and test parts."""
    from pipelines.dataset_dir import DatasetDir
    from pipelines.split import make_split
    from pipelines.split_recipe import recipe

    chosen = recipe(
        protocol,
        seed=seed,
        heldout=heldout,
        fold_in=fold_in,
        min_items=min_items,
        validation=validation,
        test=test,
        validation_from=validation_from,
        test_from=test_from,
        validation_users=validation_users,
    )
    manifest = make_split(DatasetDir.open(dataset), chosen, name)
    print(f"Split {manifest.name!r} of {manifest.dataset}:")
    for part, sizes in manifest.sizes.items():
        print(f"  {part:<11}" + ", ".join(f"{number:,} {what}" for what, number in sizes.items()))
    for reason, number in manifest.counts.items():
        if number:
            print(f"  left out   {number:,} {reason.replace('_', ' ')}")
