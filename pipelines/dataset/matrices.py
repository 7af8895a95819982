"""Frames of clean interactions to matrices and back-references: ids to rows, tables to CSR."""

import math
from hashlib import sha256

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from recsys_vae.data.columns import ITEM, POSITION, TIMESTAMP, USER, WEIGHT
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.data.signals import UNTIMED, Keep
from recsys_vae.errors import ConfigError, DataError, EmptyDataError
from recsys_vae.evaluation.ordered_splits import Events
from recsys_vae.protocols import Int64Array

MOST_UNPLACED = 0.01
"""Share of the events of a dataset with an order that may have none."""


def id_map(frame: pl.LazyFrame, column: str) -> IdMap:
    """The distinct ids of a column, in ascending byte order."""
    distinct = frame.select(pl.col(column).unique()).collect(engine="streaming")
    return IdMap.from_values(distinct[column])


def row_number(column: str, ids: IdMap) -> pl.Expr:
    """Row of each id as UInt32, null where it is unknown; element by element, so that it streams."""
    return pl.col(column).cast(pl.Enum(ids.values), strict=False).to_physical().cast(pl.UInt32)


def encode(
    frame: pl.LazyFrame, users: IdMap | None = None, items: IdMap | None = None, *, binarised: bool = False
) -> Interactions:
    """Users by items, rows and columns by ascending id; weights of repeated pairs add up.

    Args:
        frame: `user_id`, `item_id` and, if there are weights, `weight`; no weight, or a null one, is 1.
        users: rows of the matrix; the users of the frame when None. Interactions of others are left out.
        items: its columns, likewise.
        binarised: every weight becomes 1.

    Raises:
        EmptyDataError: the frame has no rows.
    """
    users = id_map(frame, USER) if users is None else users
    items = id_map(frame, ITEM) if items is None else items
    if not len(users) or not len(items):
        raise EmptyDataError("There are no interactions to encode. Check what ingest has left out.")
    weight = pl.col(WEIGHT).fill_null(1.0) if WEIGHT in frame.collect_schema() else pl.lit(1.0)
    cells = (
        frame.select(row_number(USER, users), row_number(ITEM, items), weight.cast(pl.Float32).alias(WEIGHT))
        .drop_nulls()
        .collect(engine="streaming")
    )
    encoded = Interactions.from_rows(
        _rows(cells[USER]), _rows(cells[ITEM]), cells[WEIGHT].to_numpy(), users=users, items=items
    )
    return encoded.binarised() if binarised else encoded


def encode_pairs(frame: pl.LazyFrame, users: IdMap, items: IdMap) -> tuple[csr_array, int]:
    """Pairs as the pattern of a matrix, every entry 1, and the number of pairs whose user or item is unknown."""
    pairs = frame.select(row_number(USER, users), row_number(ITEM, items)).unique().collect(engine="streaming")
    known = pairs.drop_nulls()
    ones = np.ones(known.height, dtype=np.float32)
    matrix = csr_array((ones, (_rows(known[USER]), _rows(known[ITEM]))), shape=(len(users), len(items)))
    matrix.sum_duplicates()
    return matrix, pairs.height - known.height


def encode_events(
    frame: pl.LazyFrame, *, global_order: bool, keep: Keep = "last", half_life: float = math.inf
) -> Events:
    """Events one by one with their order.

    Args:
        frame: `user_id`, `item_id`, `weight`, `timestamp`, `position`, as ingested; weights below 0 speak against.
        global_order: order is the timestamp in microseconds since 1970, comparable between users. Otherwise it is any
            number that grows within a user: by timestamp and, among equal ones, position; by position alone where
            there are no timestamps.
        keep: what stands for a pair of user and item that occurs more than once.
        half_life: days in which an event's weight halves.

    Raises:
        ConfigError: there is a half-life, and no event has a time.
        DataError: rows lack what the order needs; the message says how many.
        EmptyDataError: the frame has no rows.
    """
    users, items = id_map(frame, USER), id_map(frame, ITEM)
    if not len(users):
        raise EmptyDataError("There are no interactions to encode. Check what ingest has left out.")
    weight = pl.col(WEIGHT).fill_null(1.0).cast(pl.Float32)
    time, position = pl.col(TIMESTAMP).dt.epoch("us"), pl.col(POSITION).cast(pl.Int64)
    table = frame.select(row_number(USER, users), row_number(ITEM, items), weight, time, position)
    columns = table.collect(engine="streaming")
    order = _moments(columns) if global_order else _order_within_users(columns)
    weights = columns[WEIGHT].to_numpy()
    against = weights < 0
    ties = _rows(columns[POSITION].fill_null(-1)) if global_order and not columns[POSITION].is_null().all() else None
    return Events(
        users,
        items,
        _rows(columns[USER]),
        _rows(columns[ITEM]),
        np.abs(weights),
        order,
        keep,
        against if against.any() else None,
        None if half_life == math.inf else _times(columns),
        half_life,
        ties,
    )


def places_by(frame: pl.LazyFrame) -> tuple[str, ...] | None:
    """Columns that say the order of a user's events: `timestamp`, `position` or both; None without an order.

    There is one where the events have timestamps or positions. Up to `MOST_UNPLACED` of them may lack both: these count
    as the oldest of their user.

    Args:
        frame: all events, as of `encode_events`.
    """
    counts = frame.select(pl.len(), pl.col(TIMESTAMP).null_count(), pl.col(POSITION).null_count())
    height, untimed, unplaced = counts.collect(engine="streaming").row(0)
    if not height or min(untimed, unplaced) > MOST_UNPLACED * height:
        return None
    if not untimed:
        return TIMESTAMP, POSITION
    return (POSITION if unplaced <= untimed else TIMESTAMP,)


def encode_places(frame: pl.LazyFrame, by: tuple[str, ...]) -> Interactions:
    """Places in time of all pairs of user and item, each of its latest event, as weights.

    Args:
        frame: all events of some users, as of `encode_events`.
        by: columns that say the order, see `places_by`.
    """
    users, items = id_map(frame, USER), id_map(frame, ITEM)
    time, position = pl.col(TIMESTAMP).dt.epoch("us"), pl.col(POSITION).cast(pl.Int64)
    columns = frame.select(row_number(USER, users), row_number(ITEM, items), time, position).collect(engine="streaming")
    order = _ranks(columns) if len(by) > 1 else _or_oldest(columns[by[0]])
    weights = np.ones(len(order), dtype=np.float32)
    events = Events(users, items, _rows(columns[USER]), _rows(columns[ITEM]), weights, order)
    return Interactions(events.places(np.ones(len(order), dtype=np.bool_)), users, items)


def _or_oldest(moments: pl.Series) -> Int64Array:
    """Times or positions; what has none is older than all others."""
    lowest = moments.min()
    return moments.fill_null(lowest - 1 if isinstance(lowest, int) else 0).to_numpy().astype(np.int64)


def _times(columns: pl.DataFrame) -> Int64Array:
    if columns[TIMESTAMP].null_count() == columns.height:
        raise ConfigError("A half-life needs times, and no event of this dataset has one. Leave it out.")
    return columns[TIMESTAMP].fill_null(UNTIMED).to_numpy().astype(np.int64)


def _moments(columns: pl.DataFrame) -> Int64Array:
    """Times; an event without one counts as the earliest where its pair has another that is timed, as in ingest."""
    times = columns[TIMESTAMP]
    if not times.null_count():
        return times.to_numpy().astype(np.int64)
    untimed = columns.filter(times.is_null())
    missing = untimed.join(columns.filter(times.is_not_null()), on=(USER, ITEM), how="anti").height
    if missing:
        raise DataError(
            f"A cut in time needs a timestamp of every pair of user and item; {missing:,} of {columns.height:,} rows "
            f"are of pairs without one. Map the column of the log that holds it (--map {TIMESTAMP}=...), leave rows "
            "without a time out (recsys ingest --since 1970-01-01), or use the protocol 'strong'."
        )
    return times.fill_null(strategy="min").to_numpy().astype(np.int64)


def _order_within_users(columns: pl.DataFrame) -> Int64Array:
    untimed, unplaced = columns[TIMESTAMP].null_count(), columns[POSITION].null_count()
    if untimed and unplaced:
        raise DataError(
            f"The last items of a user need an order: {untimed:,} of {columns.height:,} rows have no timestamp and "
            f"{unplaced:,} no position. Map one of them for every row, or use the protocol 'strong'."
        )
    if untimed:
        return columns[POSITION].to_numpy().astype(np.int64)
    return _ranks(columns)


def _ranks(columns: pl.DataFrame) -> Int64Array:
    """By time, and among equal ones by position."""
    keys = columns.select(TIMESTAMP, pl.col(POSITION).fill_null(-1))
    return keys.select(pl.struct(TIMESTAMP, POSITION).rank("dense")).to_series().to_numpy().astype(np.int64)


def fingerprint(frame: pl.LazyFrame) -> str:
    """SHA-256 over the content of a table, column by column in row order, in hexadecimal.

    It depends on the values alone, not on how the file is compressed or cut in groups.
    """
    # Two streams a column, each with a digest of its own: then it does not matter where a batch ends.
    streams = {(name, kind): sha256() for name in frame.collect_schema() for kind in ("shape", "values")}
    for batch in frame.collect_batches(maintain_order=True):
        for column in batch:
            shape, values = _streams(column)
            streams[column.name, "shape"].update(shape)
            streams[column.name, "values"].update(values)
    lines = (
        f"{name} {kind} {digest.hexdigest()}\n"
        for (name, kind), digest in sorted(streams.items(), key=lambda stream: stream[0])
    )
    return sha256("".join(lines).encode()).hexdigest()


def _streams(column: pl.Series) -> tuple[bytes, bytes]:
    """Where the values are, or how long, and the values."""
    if column.dtype == pl.String:
        lengths = column.str.len_bytes().fill_null(2**32 - 1)
        return lengths.to_numpy().tobytes(), (column.str.join("").item() or "").encode()
    present = column.is_not_null().to_numpy().tobytes()
    return present, column.to_physical().fill_null(0).to_numpy().tobytes()


def _rows(column: pl.Series) -> Int64Array:
    return column.to_numpy().astype(np.int64)
