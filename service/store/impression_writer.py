"""The log of exposures: lists that were answered wait here, and are written down in batches beside the requests.

The queue has an end: what comes when it is full, or could not be written for minutes, is dropped and counted. What a
killed process held, the answers of less than a second, is lost.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from anyio import to_thread

from recsys_vae.errors import RecsysError
from service import timestamps
from service.store.impressions import LONGEST_WAIT_SECONDS, MICROSECONDS, Impression, ImpressionTable

logger = logging.getLogger("recsys.service")

CAPACITY: Final = 20_000
"""Exposures that may wait: some forty megabytes, with their requests; more where these send long histories."""
BATCH, LARGE_BATCH, MANY = 100, 1_000, 2_000
"""Written in one transaction, and where so many wait. Answers take longer meanwhile on a busy core: where few wait,
writing rests after each batch as long as that took."""
INTERVAL_SECONDS: Final = 0.1
CLOSING_SECONDS: Final = 5.0
"""What the last ones get to be written when the service stops."""


class ImpressionWriter:
    """Takes exposures without waiting, and has them written.

    Args:
        table: where they are kept.
        count: told what became of how many: `written`, `erased` or `dropped`.
        capacity: how many may wait.

    Attributes:
        last_erasure: sequence of the last erasure of a user that is known here; what a request gives to its exposure.
    """

    def __init__(self, table: ImpressionTable, count: Callable[[str, int], None], capacity: int = CAPACITY) -> None:
        self._table = table
        self._count = count
        self._capacity = capacity
        self._waiting: deque[Impression] = deque()
        self._lock = asyncio.Lock()
        self._is_down = False
        self._untold = 0
        self._closes = False
        self.last_erasure = 0

    def note(self, impression: Impression) -> None:
        """Have a list written down; called on the event loop."""
        if len(self._waiting) >= self._capacity:
            self._drop(1)
        else:
            self._waiting.append(impression)

    async def run(self) -> None:
        """Write again and again, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits now; where the store does not take it, it waits on."""
        async with self._lock:
            n_left = len(self._waiting)
            while n_left > 0:
                began = monotonic()
                if not (n_written := await self._write()):
                    break
                n_left -= n_written
                if 0 < n_left <= MANY and not self._closes:
                    await asyncio.sleep(monotonic() - began)
        self._tell()

    async def close(self) -> None:
        """Write what waits, drop what cannot be written; call it once nothing is answered any more."""
        self._closes = True
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self.flush()
        except TimeoutError:
            pass
        if self._waiting:
            self._drop(len(self._waiting))
            self._waiting.clear()
        self._tell()

    async def _write(self) -> int:
        """Write some; returns of how many nothing is left to do, 0 where the store does not take them."""
        self._drop_old()
        size = LARGE_BATCH if len(self._waiting) > MANY else BATCH
        batch = [self._waiting[place] for place in range(min(size, len(self._waiting)))]
        if not batch:
            return 0
        try:
            written, self.last_erasure = await to_thread.run_sync(self._table.add, batch)
        except RecsysError as error:
            if not self._is_down:
                logger.warning("Exposures wait to be written: %s", error)
            self._is_down = True
            return 0
        except Exception:
            logger.exception("Exposures cannot be written")
            self._drop(len(batch))
        else:
            self._is_down = False
            self._count("written", written)
            if written < len(batch):
                self._count("erased", len(batch) - written)
        for _ in batch:
            self._waiting.popleft()
        return len(batch)

    def _drop_old(self) -> None:
        oldest = timestamps.now() - LONGEST_WAIT_SECONDS * MICROSECONDS
        too_old = 0
        while self._waiting and self._waiting[0].answered_at < oldest:
            self._waiting.popleft()
            too_old += 1
        if too_old:
            self._drop(too_old)

    def _drop(self, number: int) -> None:
        self._count("dropped", number)
        self._untold += number

    def _tell(self) -> None:
        if self._untold:
            logger.error("%d exposures were dropped: the store does not take them, or not as fast.", self._untold)
        self._untold = 0
