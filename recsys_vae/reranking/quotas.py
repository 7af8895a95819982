"""Quotas: at least n items of a list belong to a group, such as new items, an own brand, or the long tail.

The best n items of each group are sure of a place, the others come by score: where groups do not overlap and no cap
holds, no list of k that keeps the quotas has a larger sum of scores. Where they do, and places do not suffice one by
one, items of several groups go first. A quota gives way where its group, or a cap, does not let so many through: k
items come all the same.
"""

import numpy as np

from recsys_vae.protocols import BoolArray, Int64Array
from recsys_vae.reranking.caps import Counts, Gate

HEAD = 0.8
"""Share of all interactions that the bestsellers have; what is not one of them is the long tail."""


def long_tail(popularity: np.ndarray) -> BoolArray:
    """Which items are not among the bestsellers, the fewest items that have 80 % of all interactions; shape (n_items,).

    Args:
        popularity: users of each item.

    Source: Celma, Music Recommendation and Discovery in the Long Tail (2008); Abdollahpouri, Burke & Mobasher,
    Managing Popularity Bias in Recommender Systems with Personalized Re-ranking (2019).
    """
    order = np.argsort(-popularity, kind="stable")
    before = np.cumsum(popularity[order].astype(np.float64)) - popularity[order]
    flags = np.zeros(len(popularity), dtype=np.bool_)
    flags[order] = before >= HEAD * popularity.sum(dtype=np.float64)
    return flags


def untouched(popularity: np.ndarray) -> BoolArray:
    """Which items nobody had touched when the model learned, shape (n_items,)."""
    return np.asarray(popularity == 0, dtype=np.bool_)


class Reserve:
    """The door that quotas make, behind that of caps: the best items of each group are sure of a place.

    Args:
        members: which groups each place of the pool belongs to, shape (n, n_quotas).
        wanted: items of each group, shape (n_quotas,).
        k: places of the list.
        gate: of the caps, where there are any; it counts what is reserved from the beginning.
    """

    def __init__(self, members: BoolArray, wanted: Int64Array, k: int, gate: Gate | None = None) -> None:
        self._gate = Gate([()] * len(members), Counts((), ())) if gate is None else gate
        self._reserved = np.zeros(len(members), dtype=np.bool_)
        self._free = k - self._reserve(members, wanted, k)

    @property
    def open(self) -> BoolArray:
        """Of each place, whether it may come next, shape (n,)."""
        return self._reserved | self._gate.open if self._free > 0 else self._reserved

    def take(self, place: int) -> None:
        """This one comes."""
        if self._reserved[place]:
            self._reserved[place] = False
        else:
            self._free -= 1
            self._gate.take(place)

    def best_first(self, k: int) -> Int64Array:
        """The k places of the list, ascending; fewer where caps close."""
        sure = np.flatnonzero(self._reserved)
        self._reserved[:] = False
        others = self._gate.best_first(min(k - len(sure), self._free))
        return np.sort(np.concatenate([sure, others]))

    def _reserve(self, members: BoolArray, wanted: Int64Array, k: int) -> int:
        """Reserve places, and say how many."""
        missing = np.minimum(wanted, (members & self._gate.open[:, None]).sum(axis=0))
        for left in range(k, 0, -1):
            fills = (members & (missing > 0)).sum(axis=1) * self._gate.open
            if not fills.any():
                break
            # Where there are fewer places than missing items, those that fill most quotas at once.
            place = int(np.argmax(fills >= (1 if missing.sum() <= left else fills.max())))
            self._reserved[place] = True
            self._gate.take(place)
            missing = np.maximum(missing - members[place], 0)
        return int(self._reserved.sum())


def kept(members: BoolArray, wanted: Int64Array, k: int) -> Int64Array:
    """Places of k of a list whose quotas still hold, in their order: the last ones that no quota needs go.

    Args:
        members: which groups each item of the list belongs to, shape (n, n_quotas).
        wanted: items of each group, shape (n_quotas,).
        k: items that stay, at most n.
    """
    stays, counts = np.ones(len(members), dtype=np.bool_), members.sum(axis=0)
    for spares_quotas in (True, False):
        for place in range(len(members) - 1, -1, -1):
            if stays.sum() <= k:
                break
            if stays[place] and (not spares_quotas or (counts - members[place] >= np.minimum(wanted, counts)).all()):
                stays[place] = False
                counts = counts - members[place]
    return np.flatnonzero(stays)
