"""Change: what happened to the interactions between two trainings, so that a model can learn the difference alone."""

from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from recsys_vae.data.histories import binarise
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.protocols import Int64Array


@dataclass(frozen=True)
class ChangeCounts:
    """How much came in and went; an interaction is a pair of user and item, whatever its weight."""

    new_users: int
    changed_users: int
    gone_users: int
    new_items: int
    gone_items: int
    new_interactions: int
    gone_interactions: int

    @property
    def is_none(self) -> bool:
        """Whether nothing came in and nothing went."""
        return not any(asdict(self).values())


@dataclass(frozen=True, eq=False)
class Change:
    """Interactions before and after.

    Attributes:
        before: all that the model has learned from.
        after: all that it is to have learned from.
    """

    before: Interactions
    after: Interactions

    @cached_property
    def users(self) -> IdMap:
        """Users of either side."""
        return _union(self.before.users, self.after.users)

    @cached_property
    def items(self) -> IdMap:
        """Items of either side."""
        return _union(self.before.items, self.after.items)

    @cached_property
    def user_rows(self) -> Int64Array:
        """Row before of each user after, shape (after.n_users,); -1 of new ones."""
        return self.before.users.rows(self.after.users.values)

    @cached_property
    def item_rows(self) -> Int64Array:
        """Row before of each item after, shape (after.n_items,); -1 of new ones."""
        return self.before.items.rows(self.after.items.values)

    @cached_property
    def changed_users(self) -> Int64Array:
        """Rows of `users` whose set of items is another one, ascending."""
        pairs = np.concatenate([self._gone, self._new])
        return np.unique(pairs // len(self.items))

    @cached_property
    def changed_after(self) -> Int64Array:
        """Rows of `after` that are new or whose set of items is another one, ascending."""
        rows = self.after.users.rows(self.users.values.gather(self.changed_users))
        return rows[rows >= 0]

    @cached_property
    def counts(self) -> ChangeCounts:
        """How much came in and went."""
        new_users, new_items = (int((rows < 0).sum()) for rows in (self.user_rows, self.item_rows))
        gone_users = len(self.users) - self.after.n_users
        gone_items = len(self.items) - self.after.n_items
        changed = len(self.changed_users) - len(self._empty_on_a_side)
        return ChangeCounts(new_users, changed, gone_users, new_items, gone_items, len(self._new), len(self._gone))

    def changed_rows(self, side: Interactions) -> csr_array:
        """Binary histories of the changed users on one side, shape (n_changed, len(items)); empty where there is none.

        Args:
            side: `before` or `after`.
        """
        rows = side.users.rows(self.users.values.gather(self.changed_users))
        present = np.flatnonzero(rows >= 0)
        picked = binarise(side.matrix[rows[present]])
        lengths = np.zeros(len(rows), dtype=np.int64)
        lengths[present] = np.diff(picked.indptr)
        columns = self.items.rows(side.items.values)[picked.indices]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        return csr_array((picked.data, columns, indptr), shape=(len(rows), len(self.items)))

    @cached_property
    def _new(self) -> Int64Array:
        return np.setdiff1d(self._pairs(self.after), self._pairs(self.before), assume_unique=True)

    @cached_property
    def _gone(self) -> Int64Array:
        return np.setdiff1d(self._pairs(self.before), self._pairs(self.after), assume_unique=True)

    @cached_property
    def _empty_on_a_side(self) -> Int64Array:
        """Of the changed users those who are new or gone."""
        ids = self.users.values.gather(self.changed_users)
        return np.flatnonzero((self.before.users.rows(ids) < 0) | (self.after.users.rows(ids) < 0))

    def _pairs(self, side: Interactions) -> Int64Array:
        """One number a pair, ascending: row of `users` times the number of `items`, plus row of `items`."""
        users = np.repeat(self.users.rows(side.users.values), np.diff(side.matrix.indptr))
        items = self.items.rows(side.items.values)[side.matrix.indices]
        pairs: Int64Array = users * len(self.items) + items
        return pairs


def _union(first: IdMap, second: IdMap) -> IdMap:
    if first == second:
        return first
    return IdMap(pl.concat([first.values, second.values]).unique().sort(), first.dtype)
