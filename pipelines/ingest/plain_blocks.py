"""Plain blocks: all rows have ids, a weight and a time in their usual ways of writing, so one loop sees to all of them.

Nearly every block of most logs is plain. Whatever else a block holds is for `log_rows`, whose results these equal.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from pipelines.ingest.cleaning import CleaningRules, Rule
from pipelines.ingest.dropped_rows import LossCounts
from pipelines.ingest.file_times import MICROSECONDS_A_DAY, TimeCounts
from pipelines.ingest.times import MICROSECONDS_A_UNIT, UTC_MICROSECONDS, Unit, sure_unit
from recsys_vae.data import columns as c
from recsys_vae.native.table_rows import keep_rows
from recsys_vae.native.tables import tables

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = {c.USER, c.ITEM, c.WEIGHT, c.TIMESTAMP}


def may_be_plain(columns: Collection[str], rules: CleaningRules, prefixes: Collection[str]) -> bool:
    """Whether blocks of a file with these columns of ours can be plain."""
    others = rules.event_weights or rules.since or rules.until or rules.returns or rules.has_dislikes or prefixes
    return not others and _COLUMNS.issuperset(columns) and tables() is not None


def plain_rows(
    users: np.ndarray,
    items: np.ndarray,
    weights: pl.Series | None,
    times: pl.Series | None,
    rules: CleaningRules,
    counts: TimeCounts,
    lost: LossCounts,
    known: tuple[int, int],
) -> pl.DataFrame | None:
    """Rows of a block that no rule on single rows takes; the others are counted. None where the block is not plain.

    Args:
        users: numbers of their ids; changed.
        items: likewise.
        weights: as written; None: there are none.
        times: likewise.
        rules: `may_be_plain` has seen them.
        counts: of the times of the file.
        lost: what is counted.
        known: how many users and items there are by now.
    """
    library = tables()
    if library is None or not all(_is_plain(column) for column in (weights, times)):
        return None
    unit, first, last = None, 0, 0
    if times is not None:
        first, last = int(times.min()), int(times.max())  # type: ignore[arg-type]
        unit = sure_unit(first, last)
        if unit in (None, Unit.NANOSECONDS) or counts.unit not in (None, unit) or times.dtype != pl.Int64:
            return None
    scale = int(MICROSECONDS_A_UNIT[unit]) if unit else 1
    first_day, last_day = (moment * scale // MICROSECONDS_A_DAY for moment in (first, last))
    min_weight = rules.min_rating
    if weights is None and min_weight is not None:
        return None
    found = keep_rows(
        library, users, items, _array(weights), _array(times), weight_range=(c.LEAST_WEIGHT, c.GREATEST_WEIGHT),
        min_weight=min_weight, scale=scale, now=(datetime.now(UTC) - _EPOCH) // timedelta(microseconds=1),
        days=range(first_day, last_day + 1),
        lost=None if min_weight is None else lost.room(Rule.MIN_RATING, *known),
    )  # fmt: skip
    if found is None:
        return None
    if unit and times is not None:
        counts.count_sure(unit, len(times))
        span = tuple(_EPOCH + timedelta(microseconds=moment * scale) for moment in (first, last))
        counts.add_days(span[0], span[1], found.days, first_day, found.future)
    rows = {c.USER: users[: found.left], c.ITEM: items[: found.left], c.WEIGHT: found.weights}
    if times is not None:
        rows[c.TIMESTAMP] = found.times
    frame = pl.DataFrame([pl.Series(name, column) for name, column in rows.items()])
    return frame.with_columns(pl.col(c.TIMESTAMP).cast(UTC_MICROSECONDS)) if times is not None else frame


def _is_plain(column: pl.Series | None) -> bool:
    return column is None or (column.dtype in (pl.Int64, pl.Float64) and not column.null_count())


def _array(column: pl.Series | None) -> np.ndarray | None:
    return None if column is None else np.ascontiguousarray(column.to_numpy())
