"""Ranked lists of some users and how they fit the targets, and what a metric of them is."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.item_facts import NO_FACTS, ItemFacts
from recsys_vae.protocols import BoolArray, Int64Array

Float64Array = NDArray[np.float64]
HIGHER, LOWER, NEITHER = 1, -1, 0
"""Which values of a metric are better."""


@dataclass(frozen=True, eq=False)
class RankedLists:
    """The lists of some users, seen items removed, and how they fit the targets.

    Attributes:
        rows: recommended item rows, best first, shape (n, depth); -1 where the list has ended. A catalogue of fewer
            items than are looked at is no deeper than that.
        hits: whether each is a target, shape (n, depth).
        relevant: number of targets of each user, >= 1, shape (n,).
        first_rank: rank of the best-placed target in the whole catalogue, from 1, shape (n,); filled only where a
            metric without cut-off is asked for.
        facts: about the items; metrics beyond accuracy ask for them.
        histories: what was shown of the users, shape (n, n_items); weights below 0 speak against. Likewise.
        targets: of these users, shape (n, n_items). Likewise.
        disliked: whether each is an item that the user dislikes in the held-out part, shape (n, depth); for `dislike`
            only.
    """

    rows: Int64Array
    hits: BoolArray
    relevant: Int64Array
    first_rank: Int64Array | None = None
    facts: ItemFacts = NO_FACTS
    histories: csr_array | None = None
    targets: csr_array | None = None
    disliked: BoolArray | None = None

    @cached_property
    def hits_so_far(self) -> Int64Array:
        """Hits among the first 1 .. depth, shape (n, depth)."""
        return np.cumsum(self.hits, axis=1, dtype=np.int64)

    def n_hits(self, k: int) -> Int64Array:
        """Hits among the first k, shape (n,)."""
        return self.hits_so_far[:, min(k, self.hits.shape[1]) - 1]

    @property
    def known_histories(self) -> csr_array:
        """The histories.

        Raises:
            ConfigError: nobody has passed them on.
        """
        if self.histories is None:
            raise ConfigError("This metric looks at the histories of the users; these lists come without.")
        return self.histories

    @property
    def known_targets(self) -> csr_array:
        """The targets; raises as `known_histories`."""
        if self.targets is None:
            raise ConfigError("This metric looks at the targets one by one; these lists come without.")
        return self.targets

    @cached_property
    def are_repeats(self) -> BoolArray:
        """Whether each item of the lists stands in the history, shape (n, depth)."""
        histories = self.known_histories
        keys = self.rows + np.arange(len(self.rows), dtype=np.int64)[:, None] * histories.shape[1]
        return (self.rows >= 0) & (entries.find_entries(histories, keys) >= 0)

    @cached_property
    def repeated_targets(self) -> BoolArray:
        """Whether each target stands in the history, in storage order of the targets, shape (nnz,)."""
        return entries.contains(self.known_histories, entries.entry_keys(self.known_targets))


class Metric(Protocol):
    """A value a user, NaN where it means nothing for one; higher is better unless `better` says otherwise."""

    @property
    def name(self) -> str:
        """As users write it and tables show it."""
        ...

    @property
    def k(self) -> int | None:
        """Length of the list that it looks at; None: the whole catalogue."""
        ...

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user, shape (n,). The lists are at least k deep, or as deep as the catalogue."""
        ...


class Tally(Protocol):
    """What an overall metric has counted so far."""

    def add(self, lists: RankedLists) -> None:
        """Count these, too."""
        ...

    def result(self) -> tuple[float, float]:
        """Value and standard error, NaN where there is none."""
        ...


class OverallMetric(Protocol):
    """A figure of all lists together."""

    @property
    def name(self) -> str:
        """As users write it and tables show it."""
        ...

    @property
    def k(self) -> int | None:
        """Length of the lists that it looks at."""
        ...

    def tally(self, n_items: int) -> Tally:
        """A new count over a catalogue of so many items."""
        ...


AnyMetric = Metric | OverallMetric


def is_overall(metric: AnyMetric) -> TypeGuard[OverallMetric]:
    """Whether a metric is one of all lists together, and not of single users."""
    return hasattr(metric, "tally")


def is_of_users(metric: AnyMetric) -> TypeGuard[Metric]:
    """Whether it is one of single users."""
    return not is_overall(metric)


def direction(metric: AnyMetric) -> int:
    """`HIGHER`, `LOWER` or `NEITHER`: which values are better."""
    found: int = getattr(metric, "better", HIGHER)
    return found
