"""Connections: how many there may be, and for how long one may be open without asking anything.

Every connection takes one of the files that a process may open. Where there are too many, the one that has been idle
longest makes room; where none is idle, the one that came last is turned away, and told why.
"""

from typing import Protocol

from service.observability.metrics import Metrics
from service.observability.tally import Tally

TOO_MANY = "too-many-connections"
IDLE = "idle"
FULL_TEXT = "This service has as many connections as it can keep, and all of them are in use. Try again later."
IDLE_TEXT = "No request came on this connection, or none that was whole, and it was closed."


class Connection(Protocol):
    """One of them, as the server's protocol has it."""

    def give_up(self, status: int, code: str, detail: str) -> None:
        """Say why, where somebody may still read it, and close."""
        ...


class Connections:
    """All that are open in this process.

    Args:
        most: that may be open; None: any number.
        metrics: told of those that are closed for it.
    """

    def __init__(self, most: int | None, metrics: Metrics) -> None:
        self._most = most
        self._metrics = metrics
        self._idle: dict[Connection, None] = {}  # longest first
        self._n_open = 0
        self._closed = Tally("%d connections were closed to make room or because nothing came on them.")
        self._refused = Tally("%d connections were turned away: too many are open, and all of them in use.")

    def opened(self, connection: Connection) -> None:
        """There is one more; it is idle."""
        self._n_open += 1
        if self._most is not None and self._n_open > self._most:
            if not self._idle:
                self._metrics.count_refusal(TOO_MANY)
                self._refused.add()
                connection.give_up(503, TOO_MANY, FULL_TEXT)
                return
            self.close_idle(next(iter(self._idle)))
        self._idle[connection] = None

    def is_busy(self, connection: Connection) -> None:
        """Something came on it."""
        self._idle.pop(connection, None)

    def is_idle(self, connection: Connection) -> None:
        """It waits for a request, or for the rest of one's head."""
        self._idle[connection] = None

    def close_idle(self, connection: Connection) -> None:
        """Close one that waits for a request."""
        self._idle.pop(connection, None)
        self._metrics.count_refusal(IDLE)
        self._closed.add()
        connection.give_up(408, IDLE, IDLE_TEXT)

    def closed(self, connection: Connection) -> None:
        """There is one less."""
        self._n_open -= 1
        self._idle.pop(connection, None)
