"""Beside: work that other threads do while this one goes on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")
THREADS = 2
"""That work on parts side by side: each holds one in memory."""


def side_by_side(function: Callable[[T], R], arguments: Iterable[T], threads: int = THREADS) -> Iterator[R]:
    """What a function gives of each argument, in their order, called by several threads; as many results may wait."""
    with ThreadPoolExecutor(threads, "recsys-parts") as pool:
        called: deque[Future[R]] = deque()
        for argument in arguments:
            called.append(pool.submit(function, argument))
            if len(called) > threads:
                yield called.popleft().result()
        while called:
            yield called.popleft().result()


class Beside:
    """Calls that another thread makes, one after the other; at most one waits. A context, which ends with the last."""

    def __init__(self, name: str) -> None:
        """`name`: of the thread."""
        self._pool = ThreadPoolExecutor(1, name)
        self._last: Future[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Call a function, once the one before it has ended; raises what that one has raised."""
        self.wait()
        self._last = self._pool.submit(function, *args)

    def wait(self) -> None:
        """Wait for what was called; raises what it has raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()
