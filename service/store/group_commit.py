"""Group commit: what several threads hand in while a transaction runs goes into the next one, together.

A database with one writer at a time serves many writers no faster by turns; and who waits for turns that nobody deals
out may wait for ever. So each process is one writer, whose transactions are as large as the demand.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from time import monotonic
from typing import Any, Generic, TypeVar

from recsys_vae.errors import UnavailableError

T = TypeVar("T")
R = TypeVar("R")
F = TypeVar("F")


class GroupCommit(Generic[T, R]):
    """Has items committed, many at a time; safe to use from several threads.

    Args:
        commit: commits items, in their order, or none of them; gives a result an item.
        weigh: how large an item is.
        largest: the sum of weights from which no further item joins a group.
    """

    def __init__(self, commit: Callable[[Sequence[T]], Sequence[R]], weigh: Callable[[T], int], largest: int) -> None:
        self._commit = commit
        self._weigh = weigh
        self._largest = largest
        self._waiting: deque[tuple[T, Future[R]]] = deque()
        self._leading = Lock()

    def submit(self, item: T) -> R:
        """The result of an item, once it is committed; raises what committing it raised."""
        future: Future[R] = Future()
        self._waiting.append((item, future))
        while not future.done():
            with self._leading:  # whoever comes first commits for all who wait by then
                if not future.done():
                    self._commit_group(next_group(self._waiting, self._weigh, self._largest))
        return future.result()

    def _commit_group(self, group: list[tuple[T, Future[R]]]) -> None:
        outcomes = outcomes_of(self._commit, [item for item, _ in group])
        for (_, future), outcome in zip(group, outcomes, strict=True):
            tell(future, outcome)


class CommitQueue(Generic[T, R]):
    """The same for tasks of an event loop: one thread commits, and no other waits, however many tasks do.

    Args:
        commit: as of `GroupCommit`; runs in a thread.
        weigh: likewise.
        largest: likewise.
    """

    def __init__(self, commit: Callable[[Sequence[T]], Sequence[R]], weigh: Callable[[T], int], largest: int) -> None:
        self._commit = commit
        self._weigh = weigh
        self._largest = largest
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._is_busy = False
        self._began = 0.0

    def is_held_up(self, seconds: float) -> bool:
        """Whether what is being committed has taken longer than so many seconds by now."""
        return self._is_busy and monotonic() - self._began > seconds

    async def submit(self, item: T) -> R:
        """The result of an item, once it is committed; raises what committing it raised."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if not self._is_busy:
            self._begin()
        return await future

    def close(self) -> None:
        """Let the thread end; call it when nothing is under way any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        group = next_group(self._waiting, self._weigh, self._largest)
        self._is_busy, self._began = True, monotonic()
        items = [item for item, _ in group]
        running = asyncio.get_running_loop().run_in_executor(self._thread, outcomes_of, self._commit, items)
        running.add_done_callback(lambda done: self._end(group, done))

    def _end(self, group: list[tuple[T, "asyncio.Future[R]"]], done: "asyncio.Future[list[R | BaseException]]") -> None:
        self._is_busy = False
        if self._waiting:
            self._begin()
        failure = asyncio.CancelledError() if done.cancelled() else done.exception()
        outcomes = [failure] * len(group) if failure is not None else done.result()
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if not future.done():  # else nobody waits any more
                tell(future, outcome)


def next_group(waiting: deque[tuple[T, F]], weigh: Callable[[T], int], largest: int) -> list[tuple[T, F]]:
    """Those who have waited longest, as many as make a group."""
    group = [waiting.popleft()]
    weight = weigh(group[0][0])
    while waiting and weight + weigh(waiting[0][0]) <= largest:
        group.append(waiting.popleft())
        weight += weigh(group[-1][0])
    return group


def outcomes_of(commit: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R | BaseException]:
    """What came of each item, committed together: a result or an error."""
    try:
        return list(commit(items))
    except UnavailableError as error:  # that holds for each of them
        return [UnavailableError(str(error)) for _ in items]
    except BaseException as error:
        if len(items) == 1:
            return [error]
        # One of them is at fault, and must not sink the others.
        return [outcome for item in items for outcome in outcomes_of(commit, [item])]


def tell(future: Any, outcome: object) -> None:
    """Have a future end with a result or an error."""
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
