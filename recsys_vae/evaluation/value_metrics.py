"""Metrics weighted by a column of the items, such as their price or margin: what hits are worth.

v(i) is the column's value of item i, 0 where it has none; sums run over the list's first k.

Source: Jannach & Adomavicius, Price and Profit Awareness in Recommender Systems (2017), of revenue-based measures.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recsys_vae.errors import ConfigError
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.ranked_lists import Float64Array, RankedLists


@dataclass(frozen=True)
class Value:
    """Sum of the column over the hits: what the user takes from the list is worth, in the column's unit."""

    k: int
    column: str
    family: ClassVar[str] = "value"

    @property
    def name(self) -> str:
        """`value@k[COLUMN]`."""
        return f"value@{self.k}[{self.column}]"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        values: Float64Array = _gains(lists, self.column, self.k).sum(axis=1)
        return values


@dataclass(frozen=True)
class ValueRecall:
    """Sum of the column over the hits / the largest sum that k of the targets have; NaN where that is 0.

    Recall where targets count by their value instead of alike.
    """

    k: int
    column: str
    family: ClassVar[str] = "value-recall"

    @property
    def name(self) -> str:
        """`value-recall@k[COLUMN]`."""
        return f"value-recall@{self.k}[{self.column}]"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        best = _best_first(lists, self.column)
        return _ratio(
            _gains(lists, self.column, self.k).sum(axis=1), _sums(lists, np.where(best.rank < self.k, best.value, 0))
        )


@dataclass(frozen=True)
class ValueNDCG:
    """DCG / ideal DCG whose gains are the column's values; NaN where no target has any.

    Source: Järvelin & Kekäläinen, Cumulated gain-based evaluation of IR techniques (2002), graded gains.
    """

    k: int
    column: str
    family: ClassVar[str] = "value-ndcg"

    @property
    def name(self) -> str:
        """`value-ndcg@k[COLUMN]`."""
        return f"value-ndcg@{self.k}[{self.column}]"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        gains, best = _gains(lists, self.column, self.k), _best_first(lists, self.column)
        gained = (gains / np.log2(np.arange(2, gains.shape[1] + 2))).sum(axis=1)
        ideal = np.where(best.rank < self.k, best.value / np.log2(best.rank + 2.0), 0.0)
        return _ratio(gained, _sums(lists, ideal))


@dataclass(frozen=True, eq=False)
class _Best:
    """Values of the targets, those of a user one after the other, and their places from the largest, from 0."""

    value: Float64Array
    rank: Float64Array


def _gains(lists: RankedLists, column: str, k: int) -> Float64Array:
    """v of the hits among the first k, 0 elsewhere, shape (n, k)."""
    values = lists.facts.numbers(column)
    return np.where(lists.hits[:, :k], values[lists.rows[:, :k]], 0.0)


def _best_first(lists: RankedLists, column: str) -> _Best:
    targets, values = lists.known_targets, lists.facts.numbers(column)
    if len(values) and values.min() < 0:
        raise ConfigError(
            f"Column {column!r} has values below 0, of which no share can be said. Use value@k[{column}], a plain sum."
        )
    owners, found = entries.entry_rows(targets), values[targets.indices]
    order = np.lexsort((-found, owners))
    rank = np.arange(len(order)) - np.repeat(targets.indptr[:-1], np.diff(targets.indptr))
    return _Best(found[order], rank.astype(np.float64))


def _sums(lists: RankedLists, of_targets: Float64Array) -> Float64Array:
    owners = entries.entry_rows(lists.known_targets)
    return np.bincount(owners, weights=of_targets, minlength=len(lists.rows)).astype(np.float64)


def _ratio(gained: Float64Array, best: Float64Array) -> Float64Array:
    shares: Float64Array = np.divide(gained, best, out=np.full(len(best), np.nan), where=best > 0)
    return shares
