"""Tally of what was shown: lists that held each item, counted in the store once a minute at most, for all pages."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np

from recsys_vae.protocols import Int64Array
from service.ranking.served_model import Catalogue
from service.store.database import Database
from service.store.shown_items import Counted, shown_items

SECONDS: Final = 60.0
"""How long a count is shown."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What was shown of a catalogue.

    Attributes:
        counted: which lists were counted.
        lists: of them, how many held each item, shape (n_items,).
        elsewhere: items of these lists that the catalogue does not hold.
    """

    counted: Counted
    lists: Int64Array
    elsewhere: int

    @property
    def concentration(self) -> float | None:
        """Share of all shown places that the most shown hundredth of the items takes; None where none were shown."""
        total = int(self.lists.sum())
        if not total:
            return None
        n = max(1, len(self.lists) // 100)
        return float(np.partition(self.lists, len(self.lists) - n)[len(self.lists) - n :].sum() / total)


class Tally:
    """Counts of one store; safe to use from several threads."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._counting = Lock()
        self._counted: tuple[float, Counted, dict[str, int]] | None = None
        self._of: WeakKeyDictionary[Catalogue, tuple[Counted, Shown]] = WeakKeyDictionary()

    def of(self, catalogue: Catalogue) -> Shown:
        """What was shown of a catalogue's items; waits for the store.

        Raises:
            UnavailableError: the store does not answer.
        """
        with self._counting:
            counted, counts = self._counts()
            held = self._of.get(catalogue)
            if held is None or held[0] is not counted:
                held = self._of[catalogue] = (counted, _shown(catalogue, counted, counts))
            return held[1]

    def _counts(self) -> tuple[Counted, dict[str, int]]:
        if self._counted is None or self._clock() - self._counted[0] >= SECONDS:
            self._counted = (self._clock(), *shown_items(self._database))
        return self._counted[1:]


_TALLIES: "WeakKeyDictionary[Database, Tally]" = WeakKeyDictionary()


def tally_of(database: Database) -> Tally:
    """The tally of a store, the same one for all pages."""
    return _TALLIES.setdefault(database, Tally(database))


def _shown(catalogue: Catalogue, counted: Counted, counts: dict[str, int]) -> Shown:
    rows = catalogue.rows(counts)
    lists = np.zeros(len(catalogue), dtype=np.int64)
    lists[rows[rows >= 0]] = np.fromiter(counts.values(), np.int64, len(counts))[rows >= 0]
    return Shown(counted, lists, int((rows < 0).sum()))
