"""Reranker: lists by rules, out of scores of all items. What batch jobs and evaluation have of the service's lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from recsys_vae.data.attributes import Attributes, column_of, several
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array, TopK
from recsys_vae.reranking.calibration import calibrate, pool_size
from recsys_vae.reranking.caps import Counts, Door, Gate, Values
from recsys_vae.reranking.quotas import Reserve
from recsys_vae.reranking.rules import Rules
from recsys_vae.top_k import select

FIRST_POOL, DEEPER = 4, 4
"""Best items that are looked at first, for each one wanted, where caps hold; where they do not suffice, so many times
as many."""


@dataclass(frozen=True, eq=False)
class Reranker:
    """Lists of k by rules.

    Attributes:
        rules: what holds.
        table: a row an item in row order, with `popularity` and metadata.
        k: items of a list.

    Raises:
        ConfigError, UnknownNameError: when first used: a rule does not fit the metadata.
    """

    rules: Rules
    table: pl.DataFrame
    k: int

    def check(self) -> None:
        """Raise what does not fit the metadata."""
        _ = self._members, self._shares, self._capped

    def lists(self, scores: Float32Array, histories: csr_array) -> TopK:
        """The lists, shapes (n, k); shorter only where fewer items are allowed, or caps let fewer through.

        Args:
            scores: shape (n, n_items); what may not come is -inf.
            histories: of the same users, for calibration.
        """
        rows = np.full((len(scores), self.k), -1, dtype=np.int64)
        found = np.full(rows.shape, -np.inf, dtype=np.float32)
        for user in range(len(scores)):
            chosen = self._list(scores[user], histories.indices[slice(*histories.indptr[user : user + 2])],
                                histories.data[slice(*histories.indptr[user : user + 2])])  # fmt: skip
            rows[user, : len(chosen)], found[user, : len(chosen)] = chosen, scores[user, chosen]
        return TopK(rows, found)

    def prefixed(self, scores: Float32Array, histories: csr_array, depth: int) -> TopK:
        """The lists, then what is left in the order of the scores, shapes (n, depth), depth at least k."""
        best, chosen = select(scores, min(depth, scores.shape[1])), self.lists(scores, histories)
        rows = np.full((len(scores), max(depth, self.k)), -1, dtype=np.int64)
        for user, (first, rest) in enumerate(zip(chosen.rows, best.rows, strict=True)):
            whole = [*first[first >= 0], *rest[(rest >= 0) & ~np.isin(rest, first)]][: rows.shape[1]]
            rows[user, : len(whole)] = whole
        filled = np.take_along_axis(scores, np.maximum(rows, 0), axis=1)
        return TopK(rows, np.where(rows >= 0, filled, np.float32(-np.inf)))

    def _list(self, scores: Float32Array, history: Int64Array, weights: Float32Array) -> Int64Array:
        n_left, depth = int(np.isfinite(scores).sum()), self._first_depth
        while True:
            pool = self._pool(scores, depth)
            chosen = pool[self._choose(scores[pool].astype(np.float64), pool, history, weights)]
            if len(chosen) == self.k or len(pool) >= n_left:
                return chosen
            depth *= DEEPER

    @property
    def _first_depth(self) -> int:
        depth = FIRST_POOL * self.k if self.rules.caps else self.k
        return max(depth, pool_size(self.k)) if self.rules.calibration else depth

    def _pool(self, scores: Float32Array, depth: int) -> Int64Array:
        """The best items, and the best of each group that a quota speaks of, best first."""
        found = [_best(scores, depth)]
        for quota, members in zip(self.rules.quotas, self._members.T, strict=True):
            found.append(_best(np.where(members, scores, np.float32(-np.inf)), max(quota.n, depth // self.k * quota.n)))
        pool = np.unique(np.concatenate(found))
        ordered: Int64Array = pool[np.argsort(-scores[pool], kind="stable")]
        return ordered

    def _choose(self, scores: np.ndarray, pool: Int64Array, history: Int64Array, weights: Float32Array) -> Int64Array:
        door = self._door(pool)
        if self._shares is None or self.rules.calibration is None:
            return np.arange(min(self.k, len(pool))) if door is None else door.best_first(self.k)
        return calibrate(scores, self._shares[pool], self._shares[history], weights.astype(np.float64), self.k,
                         self.rules.calibration.strength, door=door)  # fmt: skip

    def _door(self, pool: Int64Array) -> Door | None:
        gate = None
        if self.rules.caps:
            gate = Gate([self._capped[row] for row in pool.tolist()], Counts(self.rules.caps, ()))
        if not self.rules.quotas:
            return gate
        wanted = np.array([quota.n for quota in self.rules.quotas])
        return Reserve(self._members[pool], wanted, min(self.k, len(pool)), gate)

    @cached_property
    def _members(self) -> BoolArray:
        groups = [quota.members(self.table) for quota in self.rules.quotas]
        return np.stack(groups, axis=1) if groups else np.zeros((self.table.height, 0), dtype=np.bool_)

    @cached_property
    def _shares(self) -> csr_array | None:
        rule = self.rules.calibration
        return None if rule is None else Attributes.of(column_of(self.table, rule.column)).shares

    @cached_property
    def _capped(self) -> Sequence[Values]:
        cells = [column_of(self.table, cap.column).to_list() for cap in self.rules.caps]
        rows = zip(*cells, strict=True) if cells else iter([()] * self.table.height)
        return [tuple((place, value) for place, cell in enumerate(row) for value in several(cell)) for row in rows]


def _best(scores: Float32Array, k: int) -> Int64Array:
    rows = select(scores[None, :], min(k, len(scores))).rows[0]
    found: Int64Array = rows[rows >= 0]
    return found
