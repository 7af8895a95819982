"""Remembered: what takes long to count is counted once a minute, however many look at it."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from anyio import to_thread

T = TypeVar("T")
SECONDS: Final = 60.0


class Remembered(Generic[T]):
    """Values by owner, each computed beside the event loop and good for a while.

    Args:
        seconds: for how long.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._held: WeakKeyDictionary[object, tuple[float, T]] = WeakKeyDictionary()
        self._locks: WeakKeyDictionary[object, asyncio.Lock] = WeakKeyDictionary()

    async def of(self, owner: object, compute: Callable[[], T]) -> T:
        """The value of an owner; whoever asks while it is computed waits for it."""
        async with self._locks.setdefault(owner, asyncio.Lock()):
            held = self._held.get(owner)
            if held is None or monotonic() - held[0] > self._seconds:
                held = self._held[owner] = (monotonic(), await to_thread.run_sync(compute))
            return held[1]
