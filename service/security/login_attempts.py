"""Login attempts: whoever has shown wrong keys too often waits, address by address.

They are counted in the store, by all processes that share it together, and before it is known whether the key is right:
so however many try at once, no more of them are let through. Each process counts wrong keys itself besides, which is
what holds where the store does not answer.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from time import time
from typing import Final

from recsys_vae.errors import UnavailableError
from service.store.logins import LoginTable

MOST: Final = 10
"""Wrong keys that an address may show within the window."""
WINDOW_SECONDS: Final = 300.0
REMEMBERED: Final = 10_000
"""Addresses; of more the one that failed longest ago is forgotten."""
MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True)
class Attempt:
    """A key that is tried.

    Attributes:
        network: from where.
        wait_seconds: how long it has to wait before it may be tried; 0 where it need not.
        number: by which the store counts it; None where it does not.
    """

    network: str
    wait_seconds: float = 0.0
    number: int | None = None


class LoginAttempts:
    """The attempts of late; every method waits for the store.

    Args:
        clock: in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def begin(self, logins: LoginTable, address: str) -> Attempt:
        """An address tries a key."""
        network, now = _network(address), self._clock()
        failures = self._failures.get(network)
        if failures is not None and len(failures) == MOST and failures[0] + WINDOW_SECONDS > now:
            return Attempt(network, failures[0] + WINDOW_SECONDS - now)
        since = now - WINDOW_SECONDS
        try:
            counted = logins.begin(network, int(now * MICROSECONDS), int(since * MICROSECONDS), MOST)
        except UnavailableError:
            return Attempt(network)
        return Attempt(
            network, max(0.0, counted.oldest / MICROSECONDS - since) if counted.oldest else 0.0, counted.number
        )

    def failed(self, attempt: Attempt) -> None:
        """The key was wrong."""
        self._failures.setdefault(attempt.network, deque(maxlen=MOST)).append(self._clock())
        self._failures.move_to_end(attempt.network)
        if len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)

    def passed(self, logins: LoginTable, attempt: Attempt) -> None:
        """The key was right: it does not count."""
        if attempt.number is not None:
            with suppress(UnavailableError):
                logins.take_back(attempt.number)


def _network(address: str) -> str:
    """The address; of IPv6 what one customer of a provider is given, which holds more addresses than are remembered."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return f"{int(found) >> 64:x}::/64" if isinstance(found, IPv6Address) else address
