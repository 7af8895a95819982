"""The steps of cleaning that look at all rows of a user, on arrays by compiled loops, equal to cleaning.py's.

Each function gives None where it is not for the case at hand, and cleaning.py's are then asked: where nothing is
compiled, where weights are summed, and where within a part some rows have an order and others none.
"""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from pipelines.ingest.beside import THREADS, side_by_side
from pipelines.ingest.cleaning import Rule
from pipelines.ingest.dropped_rows import DroppedRows
from pipelines.ingest.keep import Keep
from pipelines.ingest.kept_rows import first_rows
from pipelines.ingest.user_partitions import Part
from recsys_vae.data import columns as c
from recsys_vae.native.table_rows import (
    KEEP_FIRST,
    KEEP_LAST,
    KEEP_MAX,
    MOST_DISTINCT,
    core_left,
    core_round,
    distinct_rows,
    group_users,
    mark_duplicates,
)
from recsys_vae.native.tables import tables

_TIMED = {c.USER, c.ITEM, c.WEIGHT, c.TIMESTAMP}
KEEPS = {Keep.LAST: KEEP_LAST, Keep.FIRST: KEEP_FIRST, Keep.MAX: KEEP_MAX}
"""Rows that may stand for a (user, item) here, as the loops call them."""


class Distinct(NamedTuple):
    """What `drop_duplicates` gives.

    Attributes:
        rows: one a (user, item), sorted for `number_positions`.
        is_repeated: of the rows that were given, those of a (user, item) that has several.
    """

    rows: pl.DataFrame
    is_repeated: pl.Series


def drop_duplicates(
    rows: pl.DataFrame, keep: Keep, dropped_rows: DroppedRows, threads: int = THREADS
) -> Distinct | None:
    """One row a (user, item), of rows in their order in the log; others are counted."""
    library = tables()
    rows = rows.rechunk()  # places are looked up in one chunk many times as fast as in several
    order = _order(rows)
    if library is None or keep not in KEEPS or isinstance(order, str):
        return None
    users, items = rows[c.USER].to_numpy(), rows[c.ITEM].to_numpy()
    if not len(users):
        return Distinct(rows, pl.Series([], dtype=pl.Boolean))
    if set(rows.columns) == _TIMED and order is not None and keep is not Keep.MAX and len(users) <= MOST_DISTINCT:
        return _distinct(library, rows, order, keep, dropped_rows, threads)
    own = users - users.min() if users.min() else users
    n_own = int(own.max()) + 1
    grouped, bounds = group_users(library, own, order, n_own)
    weights = rows[c.WEIGHT].to_numpy() if keep is Keep.MAX else None
    lost, repeated = mark_duplicates(library, items, grouped, bounds, dropped_rows.n_items, KEEPS[keep], weights)
    if order is None:
        # Of unknown order, so their order is that of the items.
        grouped, _ = group_users(library, own, items.astype(np.int64), n_own)
    if lost.any():
        dropped_rows.count(Rule.DUPLICATE, users[lost], items[lost])
        grouped = grouped[~lost[grouped]]
    return Distinct(rows[grouped], pl.Series(repeated))


def _distinct(
    library: ctypes.CDLL, rows: pl.DataFrame, order: np.ndarray, keep: Keep, dropped_rows: DroppedRows, threads: int
) -> Distinct:
    """The same of rows with a time, a weight and nothing else, in one pass."""
    users, items, weights = (rows[name].to_numpy() for name in (c.USER, c.ITEM, c.WEIGHT))
    known = int(users.max()) + 1, dropped_rows.n_items
    found = distinct_rows(library, users, items, weights, order, known, KEEPS[keep], threads)
    if len(found.users) < len(users):
        dropped_rows.count_each(Rule.DUPLICATE, found.users_lost, found.items_lost)
    left = pl.DataFrame({c.USER: found.users, c.ITEM: found.items, c.WEIGHT: found.weights, c.TIMESTAMP: found.order})
    left = left.with_columns(pl.col(c.TIMESTAMP).cast(rows.schema[c.TIMESTAMP]))
    return Distinct(left.select(rows.columns), pl.Series(found.repeated))


def number_positions(rows: pl.DataFrame) -> pl.DataFrame | None:
    """As `cleaning.number_positions`, of rows that `drop_duplicates` has sorted and of which some may be gone."""
    order = _order(rows)
    if isinstance(order, str) or "row" in rows.columns:  # a row that knows its place was not sorted here
        return None
    users = rows[c.USER].to_numpy()
    if order is None or not len(users):
        return rows.with_columns(pl.lit(None, dtype=pl.UInt32).alias(c.POSITION))
    begins = first_rows(users)
    positions = np.arange(len(users), dtype=np.uint32)
    positions -= np.repeat(begins.astype(np.uint32), np.diff(begins, append=len(users)))
    return rows.with_columns(pl.Series(c.POSITION, positions))


class CompiledCore:
    """The users and items that a k-core leaves, as `cleaning.Core`.

    Attributes:
        rounds: how often the parts were looked at.
    """

    def __init__(self, library: ctypes.CDLL, user_taken: np.ndarray, item_taken: np.ndarray, rounds: int) -> None:
        self._library, self._user_taken, self._item_taken, self.rounds = library, user_taken, item_taken, rounds

    def thin(self, rows: pl.DataFrame, dropped_rows: DroppedRows) -> pl.DataFrame:
        """Rows that are left; others are counted: by the user where that was taken, else by the item."""
        users, items = (np.ascontiguousarray(rows[name].to_numpy()) for name in (c.USER, c.ITEM))
        left, users_lost, items_lost = core_left(self._library, users, items, self._user_taken, self._item_taken)
        for rule, of_users, of_items in zip((Rule.MIN_USER, Rule.MIN_ITEM), users_lost, items_lost, strict=True):
            if of_users.any():
                dropped_rows.count_each(rule, of_users, of_items)
        return rows.filter(pl.Series(left))


def k_core(parts: Sequence[Part], min_user: int, min_item: int, n_items: int) -> list[CompiledCore] | None:
    """As `cleaning.k_core`, for each part; in memory are the users and items of the rows that are left."""
    library = tables()
    if library is None:
        return None
    pairs = list(side_by_side(_pairs, parts))
    users_taken = [np.zeros(end - first, bool) for first, end in (part.users for part in parts)]
    items_taken = np.zeros(n_items, bool)

    def some_parts(first: int) -> tuple[np.ndarray, bool]:
        counts, took_any = np.zeros(n_items, np.int64), False
        for number in range(first, len(parts), THREADS):
            users, items = pairs[number]
            left, took = core_round(library, users, items, items_taken, users_taken[number], counts, min_user)
            pairs[number] = users[:left], items[:left]
            took_any |= took
        return counts, took_any

    rounds = 0
    while True:
        rounds += 1
        found = list(side_by_side(some_parts, range(min(THREADS, len(parts)))))
        item_counts = np.sum([counts for counts, _ in found], axis=0)
        few = (item_counts > 0) & (item_counts < min_item)
        if not any(took for _, took in found) and not few.any():
            items_taken |= item_counts == 0
            return [CompiledCore(library, users, items_taken, rounds) for users in users_taken]
        items_taken |= few


def _pairs(part: Part) -> tuple[np.ndarray, np.ndarray]:
    rows = part.read()
    return np.array(rows[c.USER].to_numpy()), np.array(rows[c.ITEM].to_numpy())


def _order(rows: pl.DataFrame) -> np.ndarray | str | None:
    """The order of each row; None where none has one; in words, why it takes a closer look."""
    known = {name: rows.height - rows[name].null_count() for name in (c.POSITION, c.TIMESTAMP) if name in rows.columns}
    if set(known.values()) - {0, rows.height}:
        return "some rows have an order, others none"
    if known.get(c.POSITION):
        return rows[c.POSITION].to_numpy().astype(np.int64)
    return rows[c.TIMESTAMP].to_physical().to_numpy() if known.get(c.TIMESTAMP) else None
