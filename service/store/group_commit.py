"""Group commit: what several threads hand in while a transaction runs goes into the next one, together.

A database with one writer at a time serves many writers no faster by turns; and who waits for turns that nobody deals
out may wait for ever. So each process is one writer, whose transactions are as large as the demand.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

from recsys_vae.errors import UnavailableError

T = TypeVar("T")
R = TypeVar("R")


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
                    self._commit_group(self._next_group())
        return future.result()

    def _next_group(self) -> list[tuple[T, Future[R]]]:
        group, weight = [self._waiting.popleft()], 0
        weight += self._weigh(group[0][0])
        while self._waiting and weight + self._weigh(self._waiting[0][0]) <= self._largest:
            group.append(self._waiting.popleft())
            weight += self._weigh(group[-1][0])
        return group

    def _commit_group(self, group: list[tuple[T, Future[R]]]) -> None:
        try:
            results = self._commit([item for item, _ in group])
        except UnavailableError as error:  # that holds for each of them
            for _, future in group:
                future.set_exception(UnavailableError(str(error)))
        except BaseException as error:
            if len(group) == 1:
                group[0][1].set_exception(error)
            else:  # one of them is at fault, and must not sink the others
                for one in group:
                    self._commit_group([one])
        else:
            for (_, future), result in zip(group, results, strict=True):
                future.set_result(result)
