"""Caps: at most n items of a list share a value in a column of their metadata.

Whoever comes first in the order of the list takes a place, so the list is the greedy one: best first, passing over what
is no longer allowed. An item without a value is bound by no cap; one with a list counts for each of its values. Items
of earlier pages count too: pages are one list.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
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


class Gate:
    """The door that caps make.

    Args:
        values: what each counts for.
        counts: of what came before; it goes on counting.

    Attributes:
        open: of each place, whether it may, shape (n,).
    """

    def __init__(self, values: Sequence[Values], counts: Counts) -> None:
        self._values, self._counts = values, counts
        self._places: dict[tuple[int, Any], list[int]] = defaultdict(list)
        for place, one in enumerate(values):
            for value in one:
                self._places[value].append(place)
        self.open: BoolArray = np.array([counts.admit(one) for one in values], np.bool_)

    def take(self, place: int) -> None:
        """This one comes: those that it fills a cap for may not any more."""
        self.open[place] = False
        self._counts.add(self._values[place])
        for value in self._values[place]:
            if not self._counts.admit((value,)):
                self.open[self._places[value]] = False

    def best_first(self, k: int) -> Int64Array:
        """The first k places that may come, one after the other."""
        chosen: list[int] = []
        for place in range(len(self.open)):
            if len(chosen) == k:
                break
            if self.open[place]:
                self.take(place)
                chosen.append(place)
        return np.array(chosen, np.int64)
