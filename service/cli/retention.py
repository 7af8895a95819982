"""`recsys clean-events` and `recsys erased-users`: what the store may forget, and whom datasets have to forget."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from recsys_vae.errors import ConfigError

Store = Annotated[
    str | None, typer.Option(help="URL of the event store (RECSYS_STORE).  [default: SQLite under RECSYS_HOME]")
]


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("clean-events")(clean_events)
    app.command("erased-users")(erased_users)


def clean_events(
    events_older_than: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="Remove events that happened longer ago than that.")
    ] = None,
    impressions_older_than: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="Remove lists that were shown longer ago than that.")
    ] = None,
    actions_older_than: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Remove the notes of who did what, longer ago than that."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
    store: Store = None,
) -> None:
    """Remove old events, shown lists and notes of who did what from the event store, some at a time, in use."""
    from tqdm import tqdm

    from service.jobs import retention
    from service.settings import read_settings
    from service.store.events import EventStore
    from service.timestamps import to_microseconds

    ages = (events_older_than, impressions_older_than, actions_older_than)
    if ages == (None, None, None):
        raise ConfigError("Name a limit in DAYS: --events-older-than, --impressions-older-than, --actions-older-than.")
    now = datetime.now(UTC)
    limits = [None if days is None else to_microseconds(now - timedelta(days=min(days, 36_500))) for days in ages]
    events = EventStore(read_settings(store=store).store_url)
    with tqdm(desc="clean-events", unit="row", unit_scale=True, disable=True if dry_run else None) as bar:
        done = retention.clean_events(
            events.database,
            events_before=limits[0],
            impressions_before=limits[1],
            actions_before=limits[2],
            dry_run=dry_run,
            say=bar.update,
        )
    verb, of = ("would go", "") if dry_run else ("removed", f" of {done.users:,} users")
    told = f"{done.events:,} events{of}, {done.impressions:,} shown lists, {done.actions:,} notes of actions"
    typer.echo(f"{verb}: {told}. Store: {events.address}")
    events.close()


def erased_users(
    dataset: Annotated[
        str, typer.Option("--of", metavar="DATASET", help="Name of a dataset, a path to its folder, or a table.")
    ],
    to: Annotated[Path, typer.Option(help="File to write, a row a user: user_id, erased_at; such as erased.csv.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: users, erased.")] = False,
    store: Store = None,
) -> None:
    """List users of a dataset who were erased in the event store, and whom it still holds: for `recsys erase`."""
    from recsys_vae.outputs import check_output
    from service.jobs import erased_users as job
    from service.settings import read_settings
    from service.store.events import EventStore

    place = check_output(to, job.WRITTEN)
    events = EventStore(read_settings(store=store).store_url)
    found = job.find_erased(events.database, dataset)
    address = events.address
    events.close()
    job.write_list(found.erased, place)
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"erased": len(found.erased)}))
        return
    typer.echo(f"{place}: {len(found.erased):,} of {found.users:,} users were erased in {address} and are held here.")
    if found.erased:
        typer.echo(f"Next: recsys erase {dataset} --users {place}. The list names them: remove it then.")
