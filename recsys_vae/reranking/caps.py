"""Caps: at most n items of a list share a value in a column of their metadata.

Whoever comes first in the order of the list takes a place, so the list is the greedy one: best first, passing over what
is no longer allowed. An item without a value is bound by no cap; one with a list counts for each of its values. Items
of earlier pages count too: pages are one list.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from recsys_vae.protocols import BoolArray, Int64Array

Values = tuple[tuple[int, Any], ...]
"""What an item counts for: pairs of a cap's place and a value."""


class Cap(NamedTuple):
    """At most `n` items of a list have the same value in a column."""

    column: str
    n: int


class Door(Protocol):
    """Which items of a pool may come next."""

    @property
    def open(self) -> BoolArray:
        """Of each place, whether it may, shape (n,)."""
        ...

    def take(self, place: int) -> None:
        """This one comes."""
        ...

    def best_first(self, k: int) -> Int64Array:
        """The first k places that may come, ascending; fewer where the door closes."""
        ...


class Counts:
    """How often each value has come.

    Args:
        caps: what holds.
        shown: of items that were returned before.
    """

    def __init__(self, caps: Sequence[Cap], shown: Sequence[Values]) -> None:
        self._most = [cap.n for cap in caps]
        self._counts = Counter(value for values in shown for value in values)

    def admit(self, values: Values) -> bool:
        """Whether one more item with these values may come."""
        return all(self._counts[value] < self._most[value[0]] for value in values)

    def add(self, values: Values) -> None:
        """It comes."""
        self._counts.update(values)

    def full(self, place: int) -> list[Any]:
        """Values that no more items with them may come of, by the cap in this place."""
        return [value for (cap, value), n in self._counts.items() if cap == place and n >= self._most[cap]]


class Gate:
    """The door that caps make.

    Args:
        values: what each counts for.
        counts: of what came before; it goes on counting.

    Attributes:
        open: of each place, whether it may, shape (n,).
    """

    def __init__(self, values: Sequence[Values], counts: Counts) -> None:
        self._counts = counts
        # Items that count for the same are one kind: many items, few kinds.
        numbers: dict[Values, int] = {}
        self._kinds = np.fromiter((numbers.setdefault(one, len(numbers)) for one in values), np.int64, len(values))
        self._values = list(numbers)
        self._kinds_with: dict[tuple[int, Any], list[int]] = defaultdict(list)
        for kind, one in enumerate(self._values):
            for value in one:
                self._kinds_with[value].append(kind)
        self.open: BoolArray = np.array([counts.admit(one) for one in self._values], np.bool_)[self._kinds]

    def take(self, place: int) -> None:
        """This one comes: those that it fills a cap for may not any more."""
        self.open[place] = False
        values = self._values[self._kinds[place]]
        self._counts.add(values)
        for value in values:
            if not self._counts.admit((value,)):
                for kind in self._kinds_with[value]:
                    self.open[self._places[kind]] = False

    @cached_property
    def _places(self) -> list[Int64Array]:
        """Of each kind, where its items are."""
        return np.split(np.argsort(self._kinds, kind="stable"), np.cumsum(np.bincount(self._kinds))[:-1])

    def best_first(self, k: int) -> Int64Array:
        """The first k places that may come, one after the other."""
        chosen: list[int] = []
        place = 0
        while len(chosen) < k and place < len(self.open):
            place += int(self.open[place:].argmax())
            if not self.open[place]:
                break
            self.take(place)
            chosen.append(place)
            place += 1
        return np.array(chosen, np.int64)
