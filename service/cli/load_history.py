"""`recsys load-history`: a dataset's events into the event store."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from recsys_vae.errors import ConfigError
from service.store.identities import DATASET

if TYPE_CHECKING:
    from service.jobs.history_import import DatasetEvents
    from service.store.events import Event, EventStore

Store = Annotated[
    str | None, typer.Option(help="URL of the event store (RECSYS_STORE).  [default: SQLite under RECSYS_HOME]")
]


@dataclass(frozen=True)
class Filled:
    """What became of a dataset's events.

    Attributes:
        rows: events of the dataset.
        new: of them that the store did not know.
        erased: of them that were left out, as their users were erased.
    """

    rows: int
    new: int
    erased: int


def load_history(
    dataset: Annotated[str, typer.Argument(help="Name of an ingested dataset, or a path to its folder.")],
    store: Store = None,
    replace: Annotated[bool, typer.Option("--replace", help="Forget this dataset's earlier events first.")] = False,
    mix: Annotated[
        bool, typer.Option("--mix", help="Add to a store that holds another dataset: equal ids are the same users.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be loaded and forgotten; change nothing.")
    ] = False,
) -> None:
    """Fill the event store with a dataset, so that the service knows its users. Loading it again adds nothing twice."""
    from sqlalchemy import select

    from service.jobs.history_import import DatasetEvents
    from service.settings import read_settings
    from service.store.events import EventStore
    from service.store.tables import EVENTS

    events = EventStore(read_settings(store=store).store_url)
    table = DatasetEvents.open(dataset)
    if not mix:
        check_same_users(events, table.name)
    if dry_run:
        held = events.count(select(EVENTS.c.sequence).where(EVENTS.c.source == source_of(table.name)))
        forgotten = "would be forgotten first" if replace else "stay"
        typer.echo(
            f"{table.name}: {table.n_rows:,} events would be loaded; of the {held:,} that the store holds of it, "
            f"all {forgotten}. Store: {events.address}"
        )
        events.close()
        return
    done = fill(events, table, replace=replace)
    told = f"{done.rows:,} events, {done.new:,} new, {done.rows - done.new - done.erased:,} known already"
    if done.erased:
        told += f", {done.erased:,} left out: their users were erased"
    typer.echo(f"{table.name}: {told}. Store: {events.address}")
    events.close()


def fill(events: "EventStore", table: "DatasetEvents", *, replace: bool = False) -> Filled:
    """Bring a dataset's events into a store, with a bar that says how far it is."""
    from tqdm import tqdm

    with tqdm(total=table.n_rows, desc="load-history", unit="row", unit_scale=True, disable=None) as bar:

        def counted() -> Iterator[list["Event"]]:
            for batch in table.batches():
                yield batch
                bar.update(len(batch))

        take, erased = events.replace if replace else events.append, Counter[str]()
        new = take(counted(), source_of(table.name), lambda number: erased.update(rows=number))
    return Filled(table.n_rows, new, erased["rows"])


def source_of(dataset: str) -> str:
    """What events of a dataset have for their source."""
    return f"{DATASET}{dataset}"


def check_same_users(events: "EventStore", dataset: str) -> None:
    """Refuse to pour two products into one store, where user 1 of one would get the history of user 1 of the other."""
    datasets = [other for other in events.sources() if other.startswith(DATASET)]
    others = [other.removeprefix(DATASET) for other in datasets if other != source_of(dataset)]
    if others:
        raise ConfigError(
            f"The store {events.address} holds dataset {', '.join(others)} already, and equal user ids would be taken "
            "for the same users. Name another store (--store, here and at `recsys serve`), or pass --mix if they are."
        )
