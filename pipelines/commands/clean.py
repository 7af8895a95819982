"""`recsys clean` and `recsys erase`: what is past its limits goes, and so does whoever is to be erased."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipelines.retention.clean import Outcome


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(clean)
    app.command()(erase)


def clean(
    name: Annotated[str, typer.Argument(help="Of the weekly job, its dataset and its registered model.")],
    keep_runs: Annotated[int, typer.Option(min=1, help="Newest runs that keep their bundles and lists.")] = 8,
    keep_versions: Annotated[int, typer.Option(min=1, help="Newest versions of the registered model.")] = 10,
    days: Annotated[
        float, typer.Option(min=0, help="Age up to which pages, workspaces and former champions are kept.")
    ] = 90.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
) -> None:
    """Remove what is past its limits: runs, registered versions, pages, workspaces, exported events, leftovers."""
    from pipelines.retention.clean import clean as clean_up
    from pipelines.retention.removal import Limits

    limits = Limits(keep_runs, keep_versions, days)
    outcomes = clean_up(
        name, limits, dry_run=dry_run, say=lambda one: print(f"{one.kind}: {one.name}, {_size(one.size)}")
    )
    for one in outcomes:
        if one.hindrance:
            print(f"warning: {one.removal.name} is still there: {one.hindrance}", file=sys.stderr)
    print(_total(outcomes, dry_run))


def erase(
    dataset: Annotated[str, typer.Argument(help="Name or path of the dataset.")],
    users: Annotated[
        Path,
        typer.Option(
            help="Who: a file with an id a line, or a table with a column user_id; what came after its erased_at stays."
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say who would go; change nothing.")] = False,
) -> None:
    """Take users out of a dataset whole; no log of before brings them back, neither appended nor ingested anew."""
    from pipelines.console import shown_steps
    from pipelines.dataset.directory import DatasetDir
    from pipelines.retention.erase import erase as erase_users
    from pipelines.retention.erase import read_erasures

    opened, erasures = DatasetDir.open(dataset), read_erasures(users.expanduser())
    with shown_steps() as step:
        done = erase_users(opened, erasures, dry_run=dry_run, step=step)
    found, verb = done.dataset, "would be erased" if dry_run else "erased"
    print(f"{verb}: {found.present:,} of {found.users:,} users, with {found.interactions:,} interactions")
    if found.rows is not None:
        print(f"{found.rows:,} rows of the logs are gone with them, by the rule erased")
    for what, names in (
        ("splits, to be made again", found.splits),
        ("exported events", [path.name for path in done.exports]),
        ("lists without them", [str(path) for path in done.lists]),
    ):
        if names:
            print(f"{what}: {', '.join(names)}")
    if not dry_run:
        print(opened.path)


def _total(outcomes: "list[Outcome]", dry_run: bool) -> str:
    gone = [one.removal for one in outcomes if not one.hindrance]
    counts = Counter(one.kind for one in gone)
    told = ", ".join(f"{number:,} {kind}" for kind, number in counts.items()) or "nothing"
    return f"{'would go' if dry_run else 'removed'}: {told}; {_size(sum(one.size for one in gone))}"


def _size(size: float) -> str:
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
