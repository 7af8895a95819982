"""The steps of cleaning that look at all rows of a user, on arrays by compiled loops, equal to cleaning.py's.

Each function gives None where it is not for the case at hand, and cleaning.py's are then asked: where nothing is
compiled, where weights are summed, and where within a part some rows have an order and others none.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from pipelines.ingest.cleaning import DROPPED_BY, RULES, Keep, Rule
from recsys_vae.data import columns as c
from recsys_vae.native.tables import (
    KEEP_FIRST,
    KEEP_LAST,
    KEEP_MAX,
    core_round,
    group_users,
    mark_duplicates,
    tables,
)

_KEEP = {Keep.LAST: KEEP_LAST, Keep.FIRST: KEEP_FIRST, Keep.MAX: KEEP_MAX}


def drop_duplicates(rows: pl.DataFrame, keep: Keep, n_items: int) -> pl.DataFrame | None:
    """As `cleaning.drop_duplicates` of rows in their order in the log, and sorted for `number_positions`."""
    library = tables()
    order = _order(rows)
    if library is None or keep not in _KEEP or isinstance(order, str):
        return None
    users, items = rows[c.USER].to_numpy(), rows[c.ITEM].to_numpy()
    if not len(users):
        return rows
    first = int(users.min())
    users = users - np.uint32(first)
    grouped, bounds = group_users(library, users, order, int(users.max()) + 1)
    weights = rows[c.WEIGHT].to_numpy() if keep is Keep.MAX else None
    lost = mark_duplicates(library, items, grouped, bounds, n_items, _KEEP[keep], weights)
    if order is None:
        # Of unknown order, so their order is that of the items.
        grouped, _ = group_users(library, users, items.astype(np.int64), int(users.max()) + 1)
    marked = rows.with_columns(pl.Series(DROPPED_BY, np.where(lost, _PHYSICAL[Rule.DUPLICATE], 255).astype(np.uint8)))
    return marked[grouped].with_columns(_as_rule(DROPPED_BY))


def number_positions(rows: pl.DataFrame) -> pl.DataFrame | None:
    """As `cleaning.number_positions`, of rows that `drop_duplicates` has sorted and of which some may be gone."""
    order = _order(rows)
    if isinstance(order, str):
        return None
    users = rows[c.USER].to_numpy()
    if order is None or not len(users):
        return rows.with_columns(pl.lit(None, dtype=pl.UInt32).alias(c.POSITION))
    begins = np.flatnonzero(np.diff(users, prepend=users[0] + 1))
    sizes = np.diff(begins, append=len(users))
    positions = np.arange(len(users)) - np.repeat(begins, sizes)
    return rows.with_columns(pl.Series(c.POSITION, positions.astype(np.uint32)))


class CompiledCore:
    """The users and items that a k-core leaves, as `cleaning.Core`.

    Attributes:
        rounds: how often the parts were looked at.
    """

    def __init__(self, user_taken: np.ndarray, item_taken: np.ndarray, rounds: int) -> None:
        self._user_taken, self._item_taken, self.rounds = user_taken, item_taken, rounds

    def mark_losses(self, part: pl.LazyFrame, _: int) -> pl.LazyFrame:
        """Add `lost_to`: `min_user` where the user was taken, `min_item` where only the item was."""
        rows = part.collect()
        by_user = self._user_taken[rows[c.USER].to_numpy()]
        by_item = self._item_taken[rows[c.ITEM].to_numpy()]
        marks = np.full(rows.height, 255, np.uint8)
        marks[by_item] = _PHYSICAL[Rule.MIN_ITEM]
        marks[by_user] = _PHYSICAL[Rule.MIN_USER]
        return rows.with_columns(pl.Series(DROPPED_BY, marks)).with_columns(_as_rule(DROPPED_BY)).lazy()


def k_core(
    parts: Sequence[pl.LazyFrame], min_user: int, min_item: int, n_users: int, n_items: int
) -> CompiledCore | None:
    """As `cleaning.k_core`; in memory are the users and items of the rows that are left."""
    library = tables()
    if library is None:
        return None
    rows = [_pairs(part) for part in parts]
    user_taken, item_taken = np.zeros(n_users, bool), np.zeros(n_items, bool)
    rounds = 0
    while True:
        rounds += 1
        item_counts = np.zeros(n_items, np.int64)
        took_any = False
        for number, (users, items) in enumerate(rows):
            left, took = core_round(library, users, items, item_taken, user_taken, item_counts, min_user)
            rows[number] = users[:left], items[:left]
            took_any |= took
        few = (item_counts > 0) & (item_counts < min_item)
        if not took_any and not few.any():
            return CompiledCore(user_taken, item_taken | (item_counts == 0), rounds)
        item_taken |= few


def _pairs(part: pl.LazyFrame) -> tuple[np.ndarray, np.ndarray]:
    pairs = part.select(c.USER, c.ITEM).collect()
    return np.array(pairs[c.USER].to_numpy()), np.array(pairs[c.ITEM].to_numpy())


def _order(rows: pl.DataFrame) -> np.ndarray | str | None:
    """The order of each row; None where none has one; in words, why it takes a closer look."""
    position, time = rows[c.POSITION], rows[c.TIMESTAMP]
    if position.null_count() not in (0, rows.height) or time.null_count() not in (0, rows.height):
        return "some rows have an order, others none"
    if position.null_count() == 0 and rows.height:
        return position.to_numpy().astype(np.int64)
    return None if time.null_count() else time.to_physical().to_numpy()


_PHYSICAL = {rule: number for number, rule in enumerate(Rule)}


def _as_rule(column: str) -> pl.Expr:
    """Numbers of rules as rules; 255 is none."""
    return pl.when(pl.col(column) < len(_PHYSICAL)).then(pl.col(column)).cat.to(RULES)
