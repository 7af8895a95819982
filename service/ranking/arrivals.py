"""Arrivals: the newcomers that may come into one list, and what it goes by of them, as of one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from recsys_vae.protocols import BoolArray, Float32Array, Int64Array
from service.ranking import boosts
from service.ranking.live_columns import Snapshot
from service.ranking.overlay import Newcomers
from service.ranking.results import Query


@dataclass(frozen=True, eq=False)
class Arrivals:
    """Newcomers that may come back.

    Attributes:
        newcomers: whose ids and numbers are looked up: these stay what they are.
        eligible: places of those that may, ascending.
        vectors: place -> vector of those whose content says where they belong.
        boosted: how, by how much, and which newcomers, in order.
        fields: the columns that come with each item; None where none do.
    """

    newcomers: Newcomers
    eligible: Int64Array
    vectors: Mapping[int, Float32Array]
    boosted: tuple[tuple[str, float, BoolArray], ...]
    fields: Snapshot | None

    @property
    def ids(self) -> list[str]:
        """Of those that may."""
        return [self.newcomers.ids[place] for place in self.eligible.tolist()]

    @property
    def numbers(self) -> Int64Array:
        """Of those that may, as every process has them."""
        return np.array(self.newcomers.numbers, dtype=np.int64)[self.eligible]

    def without(self, numbers: Int64Array) -> "Arrivals":
        """The same, but for newcomers of these numbers."""
        return self.among(~np.isin(self.numbers, numbers)) if len(numbers) else self

    def split(self) -> "tuple[Arrivals, Arrivals]":
        """Those that have a vector, and those that have none."""
        flags = np.zeros(len(self.newcomers), dtype=np.bool_)
        flags[list(self.vectors)] = True
        has_vector = flags[self.eligible]
        return self.among(has_vector), self.among(~has_vector)

    def boost(self, scores: Float32Array) -> None:
        """Apply the boosts to the scores of those that may, in place."""
        for by, value, flags in self.boosted:
            boosts.apply(scores, by, value, flags[self.eligible])

    def among(self, flags: BoolArray) -> "Arrivals":
        """Of these those that are flagged."""
        return replace(self, eligible=self.eligible[flags])


def arrivals(newcomers: Newcomers, query: Query, shown: Sequence[int] = ()) -> Arrivals:
    """The newcomers that may come into a list; whoever calls it holds the lock of the overlay.

    Args:
        newcomers: of the catalogue.
        query: filters, candidates, and what was excluded or seen count for them as for all items.
        shown: numbers of those that earlier pages showed.
    """
    flags = newcomers.flags.copy()
    if query.repeat == "only":
        flags[:] = False
    if query.filter is not None:
        flags &= newcomers.filters.mask(query.filter, "body.filter")
    if query.candidates is not None:
        chosen = np.zeros(len(flags), dtype=np.bool_)
        chosen[newcomers.places(query.candidates)] = True
        flags &= chosen
    flags[newcomers.places(chain(query.history, query.exclude))] = False
    flags[[place for place in map(newcomers.numbered, shown) if place is not None]] = False
    boosted = tuple(
        (boost.by, boost.value, _boosted(newcomers, query, number)) for number, boost in enumerate(query.boosts)
    )
    fields = Snapshot(newcomers.filters.metadata, query.fields) if query.fields else None
    return Arrivals(newcomers, np.flatnonzero(flags), newcomers.vectors, boosted, fields)


def _boosted(newcomers: Newcomers, query: Query, number: int) -> BoolArray:
    boost = query.boosts[number]
    if boost.where is not None:
        return newcomers.filters.mask(boost.where, f"body.boost.{number}.where")
    flags = np.zeros(len(newcomers), dtype=np.bool_)
    flags[newcomers.places(boost.items)] = True
    return flags
