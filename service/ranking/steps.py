"""Steps: a computation that pauses between its parts: others get their turn, and it ends where nobody waits for it.

It is a generator: after each part it yields the work that this was, in plain requests, and it returns what it found.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result")

Steps = Generator[float, None, Result]


@dataclass(frozen=True)
class Paused(Generic[Result]):
    """A computation that has not ended; `work` is what it did since it went on."""

    steps: Steps[Result]
    work: float


def finished(steps: Steps[Result]) -> Result:
    """What a computation finds, without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Result = end.value
            return found


def advanced(steps: Steps[Result], work: float, is_wanted: Callable[[], bool]) -> Result | Paused[Result]:
    """What a computation finds, or the computation: once it has done this work, or nobody wants it any more."""
    done = 0.0
    while done < work and is_wanted():
        try:
            done += next(steps)
        except StopIteration as end:
            found: Result = end.value
            return found
    return Paused(steps, done)
