"""LiveItems: has every catalogue know what was changed about items before anything is computed with it."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from recsys_vae.data.signals import SignalRules
from recsys_vae.errors import UnavailableError
from service import timestamps
from service.ranking.overlay import Counted
from service.ranking.served_model import Catalogue
from service.ranking.unknown_items import UnknownItems
from service.store.item_feed import OPENING_SECONDS, ItemFeed
from service.store.item_records import ItemRecord, LiveItem
from service.store.live_events import live_events

logger = logging.getLogger("recsys.service")

COUNTED_FOR = 5.0
"""Seconds that counts of events stand for."""


class Description(NamedTuple):
    """What is known of an item: its metadata, the sequence of its last change (0 for none), and when that was."""

    fields: Mapping[str, Any]
    sequence: int
    is_hidden: bool
    is_deleted: bool
    is_in_model: bool
    changed_at: int | None


class LiveItems:
    """Keeps catalogues up to date; safe to use from several threads.

    Args:
        feed: of the changes.
        explore: share of the places of a list for items that the model does not know.
        on_settled: told how many items something was changed about.
        clock: what time it is, in microseconds since 1970.
    """

    def __init__(
        self,
        feed: ItemFeed,
        explore: float = 0.0,
        on_settled: Callable[[int], None] = lambda number: None,
        clock: Callable[[], int] = timestamps.now,
    ) -> None:
        self._feed = feed
        self._on_settled = on_settled
        self._clock = clock
        self._counting = Lock()
        self._counted: dict[SignalRules, tuple[float, Counted]] = {}
        self._unknown: WeakKeyDictionary[Catalogue, UnknownItems] = WeakKeyDictionary()
        self.explore = explore

    def settle(self, catalogues: Iterable[Catalogue]) -> bool:
        """Have catalogues show all changes that are acknowledged by now; False where the store does not say."""
        is_current = self._feed.settle()
        self._follow(catalogues)
        return is_current

    def settle_at_once(self, catalogues: Iterable[Catalogue]) -> bool:
        """The same, where nothing has to be waited for; False where it has, or may have, and nothing is done."""
        if not self._feed.is_settled():
            return False
        self._follow(catalogues)
        return True

    def count_events(self, catalogue: Catalogue) -> None:
        """Have a catalogue know what stored events say of items that it does not hold, at most `COUNTED_FOR` ago.

        Where the store does not answer, or another thread is counting, what was known before stays.
        """
        if not len(catalogue.overlay.newcomers):
            return
        rules, now = catalogue.rules, time.monotonic()
        since, counted = self._counted.get(rules, (-math.inf, Counted()))
        if now - since >= COUNTED_FOR and self._counting.acquire(blocking=since == -math.inf):
            try:
                counted = Counted(live_events(self._feed.database, rules), self._clock())
            except UnavailableError:
                logger.warning("Events of new items are as they were last counted: the store does not answer.")
            finally:
                self._counting.release()
            self._counted[rules] = now, counted
        catalogue.overlay.newcomers.counted = counted

    def _follow(self, catalogues: Iterable[Catalogue]) -> None:
        """Have catalogues show what is known here."""
        for catalogue in catalogues:
            overlay = catalogue.overlay
            overlay.follow(self._feed, recommends_new=self.explore > 0 or overlay.places_new)
        self._on_settled(len(self._feed))

    def prepare(self, catalogues: Iterable[Catalogue]) -> None:
        """The same for catalogues that are loaded now; a store that does not answer is asked later."""
        self._feed.settle(OPENING_SECONDS)
        self._follow(catalogues)

    def describe(self, catalogue: Catalogue, item_id: str) -> Description | None:
        """What is known of an item; None where nobody knows it."""
        self.settle([catalogue])
        return described(catalogue, item_id, self._feed.get(item_id))

    def held(self, item_id: str) -> LiveItem | None:
        """What was changed about an item, as far as is known here; None where nothing was."""
        return self._feed.get(item_id)

    def lately(self, n: int) -> list[LiveItem]:
        """The n items that were changed last, latest first."""
        return self._feed.lately(n)

    def unknown(self, catalogue: Catalogue) -> list[str]:
        """Ids of items that changes speak of and a catalogue does not hold, first changed first."""
        return self._unknown.setdefault(catalogue, UnknownItems()).follow(self._feed, catalogue)

    def close(self) -> None:
        """Give the connection back."""
        self._feed.close()


def described(catalogue: Catalogue, item_id: str, live: LiveItem | None) -> Description | None:
    """What is known of an item by its bundle and by what was changed about it; None where nobody knows it."""
    [row] = catalogue.rows([item_id]).tolist()
    if live is None and row < 0:
        return None
    record = ItemRecord() if live is None else live.record
    found: Mapping[str, Any] = {name: dated.value for name, dated in record.fields.items()}
    if row >= 0 and record.deleted_at is None:
        found = catalogue.overlay.described(record, row)
    return Description(
        {name: value for name, value in found.items() if value is not None},
        0 if live is None else live.sequence,
        bool(record.hidden.value),
        record.deleted_at is not None,
        row >= 0,
        None if live is None else record.last,
    )
