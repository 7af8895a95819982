"""Export of impressions: what was shown, how likely it was, and what came of it, as `recsys evaluate` reads it."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Select, select

from recsys_vae.atomic import atomic_file, remove_partials
from recsys_vae.data.columns import ITEM, TIMESTAMP, USER
from recsys_vae.errors import EmptyDataError
from recsys_vae.outputs import check_output, table_product
from service.store.events import EventStore
from service.store.impressions import read_propensities
from service.store.tables import EVENTS, IMPRESSIONS

BATCH_LISTS = 500
"""Lists whose events are looked for at once."""
SCHEMA = pa.schema(
    [
        pa.field(USER, pa.string(), nullable=False),
        pa.field(ITEM, pa.string(), nullable=False),
        pa.field("propensity", pa.float64(), nullable=False),
        pa.field("reward", pa.float64(), nullable=False),
        pa.field("list_id", pa.string(), nullable=False),
        pa.field(TIMESTAMP, pa.timestamp("us", "UTC"), nullable=False),
    ]
)
WRITTEN = table_product("a table of impressions by `recsys export-impressions`", SCHEMA.names)
"""What exporting may replace."""
HOW_TO_DRAW = (
    "Have the service draw, and keep what it draws: recsys serve --explore-share 0.1 --exposures on gives places to "
    "items that the model does not know; of several variants (--variant), --propensities says how likely each item was."
)


class Impression(NamedTuple):
    """An item that was shown: a row of the file."""

    user_id: str
    item_id: str
    propensity: float
    reward: float
    list_id: str
    timestamp: int


@dataclass(frozen=True)
class Choice:
    """Which lists, and what counts.

    Attributes:
        since: first moment of a list, in microseconds since 1970, UTC; None for any.
        until: the moment after the last.
        event_type: type of the events that are a reward of 1; any that names the list when None.
    """

    since: int | None = None
    until: int | None = None
    event_type: str | None = None


@dataclass(frozen=True)
class ExportedImpressions:
    """What was written.

    Attributes:
        impressions: items of lists.
        lists: that they stood in.
        rewarded: impressions that something came of.
        drawn: impressions that were not certain.
        unknown: lists that were left out: for nobody by name, or without propensities.
    """

    impressions: int
    lists: int
    rewarded: int
    drawn: int
    unknown: int


def export_impressions(store: EventStore, path: Path, choice: Choice, *, dry_run: bool = False) -> ExportedImpressions:
    """Write what was shown to a Parquet file, an item a row; memory holds one batch, the file appears whole or not.

    Args:
        store: that keeps what was shown.
        path: of the file.
        choice: which lists.
        dry_run: count, and write nothing.

    Raises:
        ConfigError: something else stands there.
        UnavailableError: the store does not answer.
        EmptyDataError: no list has propensities, or all of them are certain: no other list can be judged by these.
    """
    path = check_output(path, WRITTEN)
    if dry_run:
        return _checked(_written(store, choice, lambda table: None))
    remove_partials(path)
    with atomic_file(path, WRITTEN) as temporary:
        with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            found = _written(store, choice, writer.write_table)
        return _checked(found)


def _written(store: EventStore, choice: Choice, write: Callable[[pa.Table], None]) -> ExportedImpressions:
    counts = Counter[str]()
    for lists in _batches(store, choice):
        known = [one for one in lists if one.user_id is not None and one.propensities is not None]
        counts["unknown"] += len(lists) - len(known)
        counts["lists"] += len(known)
        rows = list(_rows(known, _acted_on(store, known, choice.event_type)))
        counts["impressions"] += len(rows)
        counts["rewarded"] += sum(row.reward > 0 for row in rows)
        counts["drawn"] += sum(row.propensity < 1 for row in rows)
        columns = zip(*rows, strict=True) if rows else [()] * len(SCHEMA)
        arrays = [pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)]
        write(pa.Table.from_arrays(arrays, schema=SCHEMA))
    return ExportedImpressions(**{name: counts[name] for name in ExportedImpressions.__dataclass_fields__})


def _checked(found: ExportedImpressions) -> ExportedImpressions:
    if not found.impressions:
        raise EmptyDataError(
            f"The store holds no list for a user by name of which it is known how likely its items were "
            f"({found.unknown:,} others). {HOW_TO_DRAW}"
        )
    if not found.drawn:
        raise EmptyDataError(
            f"All {found.impressions:,} items that were shown were certain to be: lists that are not drawn say nothing "
            f"of others. {HOW_TO_DRAW}"
        )
    return found


def _batches(store: EventStore, choice: Choice) -> Iterator[Sequence[Any]]:
    """Lists in batches; one that was sent again under its request id comes once."""
    last: tuple[str | None, str] | None = None
    for rows in store.stream(_lists(choice), BATCH_LISTS):
        batch = []
        for row in rows:
            if (row.user_id, row.request_id) != last:
                batch.append(row)
            last = (row.user_id, row.request_id)
        yield batch


def _lists(choice: Choice) -> Select[Any]:
    names = ("sequence", "user_id", "request_id", "items", "propensities", "answered_at")
    order = (IMPRESSIONS.c.request_id, IMPRESSIONS.c.user_id, IMPRESSIONS.c.sequence)
    query = select(*(IMPRESSIONS.c[name] for name in names)).order_by(*order)
    if choice.since is not None:
        query = query.where(IMPRESSIONS.c.answered_at >= choice.since)
    return query if choice.until is None else query.where(IMPRESSIONS.c.answered_at < choice.until)


def _acted_on(store: EventStore, lists: Sequence[Any], event_type: str | None) -> set[tuple[str, str, str]]:
    """User, request and item of the events that follow some lists."""
    columns = (EVENTS.c.user_id, EVENTS.c.request_id, EVENTS.c.item_id)
    query = select(*columns).where(
        EVENTS.c.user_id.in_({one.user_id for one in lists}), EVENTS.c.request_id.in_({one.request_id for one in lists})
    )
    query = query if event_type is None else query.where(EVENTS.c.event_type == event_type)
    return {(user, request, item) for rows in store.stream(query, BATCH_LISTS) for user, request, item in rows}


def _rows(lists: Sequence[Any], acted_on: set[tuple[str, str, str]]) -> Iterator[Impression]:
    for one in lists:
        items = json.loads(one.items)
        propensities = read_propensities(one.propensities, len(items)) or ()
        for item, propensity in zip(items, propensities, strict=True):
            reward = float((one.user_id, one.request_id, item) in acted_on)
            yield Impression(one.user_id, item, propensity, reward, str(one.sequence), one.answered_at)
