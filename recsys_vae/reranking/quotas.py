"""Quotas: at least n items of a list belong to a group, such as new items, an own brand, or the long tail.

The list is the best one that keeps them: items come by score while more places are left than quotas still need, after
that only those that fill one. Where groups do not overlap no list of k that keeps the quotas has a larger sum of
scores; where they do, items of several groups go first as soon as the places do not suffice one by one. A quota gives
way where its group, or a cap, does not let so many through: k items come all the same.
"""

import numpy as np

from recsys_vae.protocols import BoolArray, Int64Array
from recsys_vae.reranking.caps import Door

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
    """The door that quotas make, behind that of caps.

    Args:
        members: which groups each place of the pool belongs to, shape (n, n_quotas).
        wanted: items of each group, shape (n_quotas,).
        k: places of the list.
        gate: of the caps, where there are any.
    """

    def __init__(self, members: BoolArray, wanted: Int64Array, k: int, gate: Door | None = None) -> None:
        self._members, self._left, self._gate = members, k, gate
        self._free = np.ones(len(members), dtype=np.bool_)
        allowed = members if gate is None else members & gate.open[:, None]
        self._missing = np.minimum(wanted, allowed.sum(axis=0))

    @property
    def open(self) -> BoolArray:
        """Of each place, whether it may come next, shape (n,)."""
        passed = self._free if self._gate is None else self._free & self._gate.open
        need = int(self._missing.sum())
        if need < self._left or not need:
            return passed
        fills = (self._members & (self._missing > 0)).sum(axis=1) * passed
        if not fills.any():  # caps let none of them through
            self._missing[:] = 0
            return passed
        # Where there are fewer places than missing items, those that fill most quotas at once.
        best: BoolArray = fills >= (1 if need == self._left else fills.max())
        return best

    def take(self, place: int) -> None:
        """This one comes."""
        self._free[place] = False
        self._left -= 1
        self._missing = np.maximum(self._missing - self._members[place], 0)
        if self._gate is not None:
            self._gate.take(place)

    def best_first(self, k: int) -> Int64Array:
        """The k places of the list, ascending; fewer where caps close."""
        chosen: list[int] = []
        while len(chosen) < k:
            may_come = self.open
            place = int(np.argmax(may_come)) if len(may_come) else 0
            if not len(may_come) or not may_come[place]:
                break
            self.take(place)
            chosen.append(place)
        return np.array(sorted(chosen), np.int64)


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
