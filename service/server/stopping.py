"""Stopping: a process ends within its time, whatever hangs in it."""

import logging
import os
from threading import Timer
from typing import Final

GRACE_SECONDS: Final = 5.0
"""What a process gets, past the time of its open requests, to put things away."""

logger = logging.getLogger("recsys.service")


def end_within(seconds: float) -> None:
    """End this process once the time is over, unless it has ended by itself: some threads cannot be stopped."""
    timer = Timer(seconds, _end, (seconds,))
    timer.daemon = True
    timer.start()


def _end(seconds: float) -> None:
    logger.error("This process did not end within %g s and is ended: something in it does not come back.", seconds)
    os._exit(1)
