"""Beside: work that another thread does while this one goes on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self


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
