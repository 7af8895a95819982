"""Change: what happened to the interactions between two trainings, so that a model can learn the difference alone."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from recsys_vae.data.histories import binarise
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.data.signals import signed
from recsys_vae.protocols import Int64Array


@dataclass(frozen=True)
class ChangeCounts:
    """How much came in and went; an interaction or a dislike is a pair of user and item, whatever its weight."""

    new_users: int
    changed_users: int
    gone_users: int
    new_items: int
    gone_items: int
    new_interactions: int
    gone_interactions: int
    new_dislikes: int = 0
    gone_dislikes: int = 0

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
        dislikes_before: what speaks against items, weights above 0, over users and items of `before`; None where there
            was nothing, or where it is not known.
        dislikes_after: likewise of `after`; None for nothing.
    """

    before: Interactions
    after: Interactions
    dislikes_before: csr_array | None = None
    dislikes_after: csr_array | None = None

    @property
    def has_unknown_dislikes(self) -> bool:
        """Whether there may have been dislikes before that nobody can name."""
        return self.dislikes_before is None and self.dislikes_after is not None

    @cached_property
    def learned(self) -> csr_array:
        """Signed interactions before."""
        return signed(self.before.matrix, self.dislikes_before)

    @cached_property
    def to_learn(self) -> csr_array:
        """Signed interactions after."""
        return signed(self.after.matrix, self.dislikes_after)

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
        new_dislikes, gone_dislikes = self._changed_dislikes
        return ChangeCounts(
            new_users,
            changed,
            gone_users,
            new_items,
            gone_items,
            len(self._new),
            len(self._gone),
            new_dislikes,
            gone_dislikes,
        )

    @property
    def n_reweighed(self) -> int:
        """How many interactions of both sides have another weight."""
        _, before, after = np.intersect1d(
            self._pairs_before, self._pairs_after, assume_unique=True, return_indices=True
        )
        return int((self.before.matrix.data[before] != self.after.matrix.data[after]).sum())

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

    def rows_that_differ(self, weigh: Callable[[csr_array], csr_array]) -> tuple[csr_array, csr_array]:
        """Histories of the users whose own are others once they are weighed, each (n, len(items)), before and after.

        Args:
            weigh: what is made of signed histories, row by row.
        """
        before, after = self._spread(weigh(self.learned), self.before), self._spread(weigh(self.to_learn), self.after)
        differing = _differing_rows(before, after)
        return before[differing], after[differing]

    def differing_after(self, weigh: Callable[[csr_array], csr_array]) -> Int64Array:
        """Rows of `after` that are new or whose weighed histories are others, ascending; `weigh` as above."""
        before, after = self._spread(weigh(self.learned), self.before), self._spread(weigh(self.to_learn), self.after)
        rows = self.after.users.rows(self.users.values.gather(_differing_rows(before, after)))
        return rows[rows >= 0]

    def _spread(self, matrix: csr_array, side: Interactions) -> csr_array:
        """The same over users and items of either side."""
        users, items = self.users.rows(side.users.values), self.items.rows(side.items.values)
        lengths = np.zeros(len(self.users), dtype=np.int64)
        lengths[users] = np.diff(matrix.indptr)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        # Users of a side ascend among those of either side, so its entries stay in order.
        return csr_array((matrix.data, items[matrix.indices], indptr), shape=(len(self.users), len(self.items)))

    @cached_property
    def _new(self) -> Int64Array:
        return np.setdiff1d(self._pairs_after, self._pairs_before, assume_unique=True)

    @cached_property
    def _gone(self) -> Int64Array:
        return np.setdiff1d(self._pairs_before, self._pairs_after, assume_unique=True)

    @property
    def _changed_dislikes(self) -> tuple[int, int]:
        """Dislikes that came and went."""
        before, after = (
            np.zeros(0, dtype=np.int64) if dislikes is None else self._pairs(dislikes, side)
            for dislikes, side in ((self.dislikes_before, self.before), (self.dislikes_after, self.after))
        )
        shared = len(np.intersect1d(before, after, assume_unique=True))
        return len(after) - shared, len(before) - shared

    @cached_property
    def _pairs_before(self) -> Int64Array:
        return self._pairs(self.before.matrix, self.before)

    @cached_property
    def _pairs_after(self) -> Int64Array:
        return self._pairs(self.after.matrix, self.after)

    @cached_property
    def _empty_on_a_side(self) -> Int64Array:
        """Of the changed users those who are new or gone."""
        ids = self.users.values.gather(self.changed_users)
        return np.flatnonzero((self.before.users.rows(ids) < 0) | (self.after.users.rows(ids) < 0))

    def _pairs(self, matrix: csr_array, side: Interactions) -> Int64Array:
        """One number a pair, ascending: row of `users` times the number of `items`, plus row of `items`.

        Args:
            matrix: over users and items of a side.
        """
        users = np.repeat(self.users.rows(side.users.values), np.diff(matrix.indptr))
        items = self.items.rows(side.items.values)[matrix.indices]
        pairs: Int64Array = users * len(self.items) + items
        return pairs


def _differing_rows(first: csr_array, second: csr_array) -> Int64Array:
    difference = csr_array(second - first)
    difference.eliminate_zeros()
    return np.flatnonzero(np.diff(difference.indptr))


def _union(first: IdMap, second: IdMap) -> IdMap:
    if first == second:
        return first
    return IdMap(pl.concat([first.values, second.values]).unique().sort(), first.dtype)
