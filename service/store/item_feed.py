"""ItemFeed: all that was changed about items, in the memory of a process, and never older than what is acknowledged.

Before anything is computed the store is asked for the sequence of the last change, one look-up on a connection that is
kept for it; only another one than is known here costs the changes themselves, and those that were taken here are known
already. Whichever process took a change, the next answer of every process knows it. A store that does not answer in
time is not waited for again before it has.

What is known here goes from the state after one change to the state after a later one, whole: never does anybody see
some of what was read, and not the rest.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import islice
from threading import Lock
from typing import Final, NamedTuple

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


class Known(NamedTuple):
    """What became known between two looks at a feed.

    Attributes:
        items: that were changed, each once, as they are after the change of `sequence`.
        position: where to go on; another first number once all begins anew.
        sequence: of the last change that is known.
    """

    items: Sequence[LiveItem]
    position: tuple[int, int]
    sequence: int


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
        self._reading, self._known = Lock(), Lock()
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

    def is_settled(self) -> bool:
        """Whether all that is acknowledged by now is known here already, where that can be told at once.

        A file is asked, which readers need not wait for: one look at the log that it is written ahead to. A store on
        another machine is not, nor one that did not answer or that another thread asks at this moment.
        """
        if self._thread is not None or self._is_down or self._kept.is_busy or not self._kept.is_open:
            return False
        try:
            return self._clock() == self.sequence
        except UnavailableError:
            return False

    def since(self, position: tuple[int, int]) -> Known:
        """What became known after a position."""
        with self._known:
            begin, end = (position[1] if position[0] == self.epoch else 0), len(self._log)
            changed = dict.fromkeys(self._log[begin:end]) if begin < end else ()
            return Known([self._items[item_id] for item_id in changed], (self.epoch, end), self.sequence)

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
                with self._known:
                    self._add(items)

    def _add(self, items: Sequence[LiveItem]) -> None:
        """Take in items; whoever calls it holds `_known`."""
        self._items.update((item.item_id, item) for item in items)
        self._log += [item.item_id for item in items]
        self.sequence = items[-1].sequence if items else self.sequence

    def _catch_up(self, now: int) -> None:
        with self._reading:
            if now < self.sequence:  # another thread was faster, and has read what came since
                now = self._clock()
            is_anew = now < self.sequence  # the store was put back to an earlier state, or is another one
            begin = 0 if is_anew else self.sequence
            found = self._read(begin) if now > begin else []
            with self._known:
                if is_anew:
                    self._items, self._log, self.sequence, self.epoch = {}, [], 0, self.epoch + 1
                self._add(found)

    def _read(self, sequence: int) -> list[LiveItem]:
        """Items that were changed after a sequence.

        One that is changed while its neighbours are read comes again, at the end: only the whole is a state.
        """
        found: list[LiveItem] = []
        while items := self._next(sequence):
            found += items
            sequence = items[-1].sequence
            if len(items) < CHUNK:
                break
        return found

    def _next(self, sequence: int) -> list[LiveItem]:
        """Items that were changed after a sequence, in the order of their last changes, as many as are read at once."""
        return [live_item(*row) for row in self._kept.rows(SINCE.format(sequence=sequence))]
