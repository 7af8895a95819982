"""Tally: what may happen thousands of times a second gets one line a second in the log."""

import asyncio
import logging

SECONDS_A_LINE = 1.0

logger = logging.getLogger("recsys.service")


class Tally:
    """Counts, and tells once a second.

    Args:
        message: with a `%d` for how many there were since the line before.
    """

    def __init__(self, message: str) -> None:
        self._message = message
        self._untold = 0

    def add(self) -> None:
        """One more."""
        if not self._untold:
            asyncio.get_running_loop().call_later(SECONDS_A_LINE, self._tell)
        self._untold += 1

    def _tell(self) -> None:
        logger.warning(self._message, self._untold)
        self._untold = 0
