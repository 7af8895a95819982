"""Reading: what requests wait for from the store is read in threads, beside the event loop.

Where the store is a file of this machine, a look takes less than having a thread begin it, and threads that read beside
each other wait for one interpreter. So one thread reads, and what is asked for meanwhile it reads next, in one go. When
it is held up by a lock or a disk, others do not wait behind it: they are given threads of their own, as where the store
is elsewhere.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from anyio import to_thread

from recsys_vae.errors import RecsysError
from service.errors import DeadlineError
from service.store.group_commit import CommitQueue

AT_ONCE: Final = 64
HELD_UP_SECONDS: Final = 0.05

Read = TypeVar("Read")


class Reading:
    """Reads by a deadline or not at all.

    Args:
        is_local: whether the store is a file of this machine.
    """

    def __init__(self, *, is_local: bool = False) -> None:
        self._queue: CommitQueue[Callable[[], Any], Any] | None = None
        if is_local:
            self._queue = CommitQueue(_all, lambda read: 1, AT_ONCE)

    async def soon(self, read: Callable[[], Read], deadline: float) -> Read:
        """What is read in a moment.

        Args:
            read: reads it; run in a thread.
            deadline: on the event loop's clock.

        Raises:
            DeadlineError: it was not read by then.
        """
        queue = self._queue
        if queue is None or queue.is_held_up(HELD_UP_SECONDS):
            return await self.apart(read, deadline)
        try:
            async with asyncio.timeout_at(deadline):
                found: Read = await queue.submit(read)
                return found
        except TimeoutError:
            raise DeadlineError from None

    async def apart(self, read: Callable[[], Read], deadline: float) -> Read:
        """The same of what may take long."""
        try:
            async with asyncio.timeout_at(deadline):
                return await to_thread.run_sync(read, abandon_on_cancel=True)
        except TimeoutError:
            raise DeadlineError from None

    def close(self) -> None:
        """Let the thread end; call it when nothing is under way any more."""
        if self._queue is not None:
            self._queue.close()


def _all(reads: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each of them reads, or what keeps it from that."""
    return [_attempt(read) for read in reads]


def _attempt(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except RecsysError as error:  # it must not sink the others
        return error
