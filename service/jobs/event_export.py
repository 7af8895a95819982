"""Export: the events as a log that `recsys ingest` reads as it is, so that the next model learns from them."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Select, case, func, select

from recsys_vae.atomic import atomic_file, remove_partials
from recsys_vae.data.columns import EVENT_TYPE, ITEM, POSITION, SOURCE, TIMESTAMP, USER, WEIGHT
from recsys_vae.errors import EmptyDataError
from recsys_vae.outputs import check_output, table_product
from service.store.events import NOT_SAID, EventStore
from service.store.tables import EVENTS
from service.timestamps import to_microseconds

BATCH_ROWS = 50_000
SCHEMA = pa.schema(
    [
        pa.field(USER, pa.string(), nullable=False),
        pa.field(ITEM, pa.string(), nullable=False),
        pa.field(EVENT_TYPE, pa.string()),
        pa.field(WEIGHT, pa.float32()),
        pa.field(TIMESTAMP, pa.timestamp("us", "UTC")),
        pa.field(POSITION, pa.uint32()),
        pa.field(SOURCE, pa.string(), nullable=False),
        pa.field("request_id", pa.string()),
    ]
)
WRITTEN = table_product("a log by `recsys export-events`", SCHEMA.names)
"""What exporting may replace."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        events: how many.
        through: sequence of the last event that was there; what comes later has a larger one.
    """

    events: int
    through: int


def export_events(
    store: EventStore,
    path: Path,
    *,
    since: datetime | None = None,
    source: str | None = None,
    after: int | None = None,
    dry_run: bool = False,
) -> Exported:
    """Write events to a Parquet file; memory holds one batch, the file appears whole or not at all.

    Args:
        store: whose events, as of one moment.
        path: of the file.
        since: leave out events before it, and those of unknown time.
        source: leave out events of any other.
        after: leave out events up to this sequence: what an earlier export took `through`. No file is written where
            nothing has come since.
        dry_run: count them, and write nothing.

    Raises:
        ConfigError: something else stands there.
        UnavailableError: the store does not answer.
        EmptyDataError: there is nothing to write.
    """
    path = check_output(path, WRITTEN)
    through = store.last_sequence()
    if dry_run:
        return Exported(store.count(_query(since, source, after, through)), through)
    remove_partials(path)
    if after is not None and not store.holds(_query(since, source, after, through)):
        return Exported(0, through)
    n_rows = 0
    with atomic_file(path, WRITTEN) as temporary:
        with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
            for rows in store.stream(_query(since, source, after, through), BATCH_ROWS):
                pairs = zip(zip(*rows, strict=True), SCHEMA.types, strict=True)
                columns = [pa.array(column, kind) for column, kind in pairs]
                writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
                n_rows += len(rows)
        if not n_rows:
            raise EmptyDataError("The store holds no such events: there is nothing to write.")
    return Exported(n_rows, through)


def _query(since: datetime | None, source: str | None, after: int | None, through: int) -> Select[Any]:
    # A place in the user's order only where times are missing: ingest goes by places before it goes by times.
    user = EVENTS.c.user_id
    untimed = func.count().over(partition_by=user) - func.count(EVENTS.c.timestamp).over(partition_by=user)
    place = func.row_number().over(partition_by=user, order_by=EVENTS.c.sequence) - 1
    position = case((untimed > 0, place))
    said = func.nullif(EVENTS.c.weight, NOT_SAID)
    columns = [said if name == WEIGHT else EVENTS.c[name] for name in SCHEMA.names if name != POSITION]
    query = select(*columns[:5], position, *columns[5:]).order_by(EVENTS.c.user_id, EVENTS.c.sequence)
    query = query.where(EVENTS.c.sequence <= through)
    if after is not None:
        query = query.where(EVENTS.c.sequence > after)
    if since is not None:
        query = query.where(EVENTS.c.timestamp >= to_microseconds(since))
    return query if source is None else query.where(EVENTS.c.source == source)
