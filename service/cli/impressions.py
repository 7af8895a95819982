"""`recsys export-impressions`: what was shown, how likely it was, and what came of it, as a file."""

from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer


def export_impressions(
    to: Annotated[Path, typer.Option(help="Parquet file to write, such as shown.parquet.")],
    since: Annotated[datetime | None, typer.Option(help="First moment of a list that counts (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="The moment after the last (UTC).")] = None,
    event_type: Annotated[
        str | None, typer.Option(help="Type of the events that are a reward of 1; all that follow a list if none.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many there are; write nothing.")] = False,
    store: Annotated[
        str | None, typer.Option(help="URL of the event store (RECSYS_STORE).  [default: SQLite under RECSYS_HOME]")
    ] = None,
) -> None:
    """Write what was shown, with propensities and rewards, for `recsys evaluate --impressions`."""
    from service.jobs.impression_export import Choice, export_impressions
    from service.settings import read_settings
    from service.store.events import EventStore
    from service.timestamps import to_microseconds

    first, last = (None if moment is None else to_microseconds(moment) for moment in (since, until))
    with closing(EventStore(read_settings(store=store).store_url)) as events:
        done = export_impressions(events, to, Choice(first, last, event_type), dry_run=dry_run)
    would = "would get " if dry_run else ""
    typer.echo(
        f"{to}: {would}{done.impressions:,} items of {done.lists:,} lists, {done.drawn:,} of them drawn, "
        f"{done.rewarded:,} with a reward; {done.unknown:,} lists were left out: for nobody by name, or of unknown "
        "propensity."
    )
    if not dry_run:
        typer.echo(f"Next: recsys evaluate BUNDLE DATASET --split temporal --impressions {to}")
