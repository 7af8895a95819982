"""ItemFeed: all that was changed about items, in the memory of a process, and never older than what is acknowledged.

Before anything is computed the store is asked for the sequence of the last change, one look-up on a connection that is
kept for it; only another one than is known here costs the changes themselves, and those that were taken here are known
already. Whichever process took a change, the next answer of every process knows it. A store that does not answer in
time is not waited for again before it has.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import islice
from threading import Lock
from typing import Final

from recsys_vae.errors import UnavailableError
from service.store.database import Database, KeptConnection
from service.store.item_records import LiveItem, live_item
from service.store.items import CHUNK, ItemStore

logger = logging.getLogger("recsys.service")

PATIENCE_SECONDS: Final = 0.25
"""How long what is computed waits for a store on another machine."""
OPENING_SECONDS: Final = 6.0
"""The same while a bundle is loaded: the store may have to be connected to, and its tables made."""
LONGEST_PAUSE_SECONDS: Final = 1.0
LATEST: Final = 1_000
"""Changes among which the items are that were changed last."""
SINCE: Final = (
    "SELECT item_id, number, sequence, document FROM items WHERE sequence > {sequence:d} ORDER BY sequence "
    f"LIMIT {CHUNK}"
)
PAUSE: Final = 4
"""A store that did not answer is asked again after as many times what asking it took: at once, where that is none."""


class ItemFeed:
    """Keeps up with a store; safe to use from several threads.

    Args:
        store: of the changes.

    Attributes:
        sequence: of the last change that is known here.
        epoch: another one once the store was put back to an earlier state.
    """

    def __init__(self, store: ItemStore) -> None:
        self._store = store
        self._kept = KeptConnection(store.database)
        store.on_taken = self._took
        self._thread = None if store.database.has_one_writer else ThreadPoolExecutor(1, thread_name_prefix="items")
        self._reading = Lock()
        self._items: dict[str, LiveItem] = {}
        self._log: list[str] = []
        self._ask_again_at = 0.0
        self._is_down = False
        self.sequence = 0
        self.epoch = 0

    @property
    def database(self) -> Database:
        """Of the store."""
        return self._store.database

    def __len__(self) -> int:
        """Items that something was changed about."""
        return len(self._items)

    @property
    def position(self) -> tuple[int, int]:
        """Where the log ends; another epoch where the store was put back and all begins anew."""
        return self.epoch, len(self._log)

    def get(self, item_id: str) -> LiveItem | None:
        """What was changed about an item, as far as is known here."""
        return self._items.get(item_id)

    def settle(self, patience: float = PATIENCE_SECONDS) -> bool:
        """Know all that is acknowledged by now; False where the store does not say what that is.

        Args:
            patience: seconds that a store on another machine is waited for.
        """
        began = time.monotonic()
        if began < self._ask_again_at:
            return False
        try:
            now = self._clock() if self._thread is None else self._asked(self._thread, patience)
            if now != self.sequence:
                self._catch_up(now)
        except (UnavailableError, FutureTimeoutError) as error:
            ended = time.monotonic()
            self._ask_again_at = ended + min(LONGEST_PAUSE_SECONDS, PAUSE * (ended - began))
            if not self._is_down:
                logger.warning("Items are as they were last known here: %s", str(error) or "the store does not answer")
            self._is_down = True
            return False
        self._is_down = False
        return True

    def since(self, position: tuple[int, int]) -> tuple[Sequence[LiveItem], tuple[int, int]]:
        """Items that were changed after a position, each once, as they are now; and the position after them."""
        epoch, end = self.position
        begin = position[1] if position[0] == epoch else 0
        if begin == end:
            return (), (epoch, end)
        return [self._items[item_id] for item_id in dict.fromkeys(self._log[begin:end])], (epoch, end)

    def lately(self, n: int) -> list[LiveItem]:
        """The n items that were changed last, latest first."""
        ids = dict.fromkeys(reversed(self._log[-LATEST:]))
        return [self._items[item_id] for item_id in islice(ids, n)]

    def close(self) -> None:
        """Give the connection back."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
        self._kept.close()

    def _clock(self) -> int:
        """Sequence of the last change in the store."""
        [(sequence,)] = self._kept.rows("SELECT sequence FROM item_clock")
        return int(sequence)

    def _asked(self, thread: ThreadPoolExecutor, patience: float) -> int:
        return thread.submit(self._clock).result(timeout=patience)

    def _took(self, before: int, items: Sequence[LiveItem]) -> None:
        """Know what was committed by this process; where something is missing before it, all is read later."""
        with self._reading:
            if self.sequence == before:
                self._add(items)

    def _add(self, items: Sequence[LiveItem]) -> None:
        for item in items:
            self._items[item.item_id] = item
        self._log += [item.item_id for item in items]
        self.sequence = items[-1].sequence

    def _catch_up(self, now: int) -> None:
        with self._reading:
            if now < self.sequence:  # another thread was faster, and has read what came since
                now = self._clock()
            if now < self.sequence:  # the store was put back to an earlier state, or is another one
                self._items, self._log, self.sequence = {}, [], 0
                self.epoch += 1
            while now > self.sequence and (items := self._next(self.sequence)):
                self._add(items)

    def _next(self, sequence: int) -> list[LiveItem]:
        """Items that were changed after a sequence, in the order of their last changes, as many as are read at once."""
        return [live_item(*row) for row in self._kept.rows(SINCE.format(sequence=sequence))]
