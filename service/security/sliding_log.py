"""Sliding log: how much each caller was granted within the last seconds, exactly, in memory.

No window of that length, wherever it begins, holds more than the amount. Grants that lie close together are kept as one
with the time of the last: a log has a few hundred entries however large the amount, and room comes back that much late.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

PARTS = 256
"""Of a window; what was granted within one of them is kept as one entry."""


class Count(NamedTuple):
    """What a caller has left.

    Attributes:
        is_granted: whether what was asked for now was granted.
        remaining: what could be granted now.
        reset_seconds: until there is room for what was refused, or until the oldest grant no longer counts.
    """

    is_granted: bool
    remaining: int
    reset_seconds: float


@dataclass(slots=True)
class Grant:
    """What was granted between `since` and `until`."""

    since: float
    until: float
    weight: int


@dataclass(slots=True)
class Log:
    """The grants of one caller that still count, oldest first."""

    grants: deque[Grant] = field(default_factory=deque)
    total: int = 0

    def forget(self, before: float) -> None:
        """Drop what was granted by this time."""
        while self.grants and self.grants[0].until <= before:
            self.total -= self.grants.popleft().weight

    def add(self, now: float, weight: int, part: float) -> None:
        """Count a grant."""
        self.total += weight
        if self.grants and now - self.grants[-1].since < part:
            self.grants[-1].until, self.grants[-1].weight = now, self.grants[-1].weight + weight
        else:
            self.grants.append(Grant(now, now, weight))

    def freed(self, weight: int) -> float:
        """When the last of the oldest grants of so much together was."""
        for grant in self.grants:
            weight -= grant.weight
            if weight <= 0:
                return grant.until
        return self.grants[-1].until


class SlidingLogs:
    """A log for each caller and rate.

    Args:
        clock: in seconds, never running backwards.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._logs: dict[tuple[str, int, int], Log] = {}

    def ask(self, name: str, amount: int, seconds: int, weight: int = 1) -> Count:
        """Grant a caller's `weight` unless more than `amount` were granted within the last `seconds` then."""
        now, log = self._clock(), self._logs.setdefault((name, amount, seconds), Log())
        log.forget(now - seconds)
        lacking = log.total + weight - amount
        if lacking <= 0:
            log.add(now, weight, seconds / PARTS)
        over = max(1, lacking)
        wait = log.freed(over) + seconds - now if log.grants else seconds
        return Count(lacking <= 0, amount - log.total, min(wait, seconds))
