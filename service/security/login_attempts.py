"""Login attempts: whoever has shown wrong keys too often waits, address by address."""

from collections import OrderedDict, deque
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from time import monotonic
from typing import Final

MOST: Final = 10
"""Wrong keys that an address may show within the window."""
WINDOW_SECONDS: Final = 300.0
REMEMBERED: Final = 10_000
"""Addresses; of more the one that failed longest ago is forgotten."""


class LoginAttempts:
    """The failures of late.

    Args:
        clock: in seconds, never running backwards.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_seconds(self, address: str) -> float:
        """How long an address has to wait before it may try again; 0 where it need not."""
        failures = self._failures.get(_network(address))
        if failures is None or len(failures) < MOST:
            return 0.0
        return max(0.0, failures[0] + WINDOW_SECONDS - self._clock())

    def failed(self, address: str) -> None:
        """Tell that an address has shown a wrong key."""
        network = _network(address)
        self._failures.setdefault(network, deque(maxlen=MOST)).append(self._clock())
        self._failures.move_to_end(network)
        if len(self._failures) > REMEMBERED:
            self._failures.popitem(last=False)


def _network(address: str) -> str:
    """The address; of IPv6 what one customer of a provider is given, which holds more addresses than are remembered."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return f"{int(found) >> 64:x}::/64" if isinstance(found, IPv6Address) else address
