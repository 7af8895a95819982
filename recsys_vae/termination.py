"""Termination: SIGTERM ends a command as Ctrl-C does: what is half-written is removed, what is told elsewhere is told.

Python carries a signal out between two of its own instructions, and a library may compute for minutes within one.
Where that takes longer than `GRACE`, a thread that waits for the signal does the most needful (`at_last`) and ends the
process.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

TERMINATED: Final = 128 + signal.SIGTERM
"""Exit status of a process that SIGTERM has ended: 143."""
GRACE: Final = 6.0
"""Seconds that a command gets to end by itself; whoever sends SIGTERM often sends SIGKILL ten seconds later."""
LAST_WORDS: Final = 2.0
"""Seconds for all of `at_last` together: a tracking server may hang."""

_last: list[Callable[[], object]] = []


class Terminated(SystemExit):
    """SIGTERM has come: the process ends with its status."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


def end_on_sigterm() -> None:
    """From now on, SIGTERM raises `Terminated` in the main thread; not where it is ignored or another takes it."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGTERM, raise_terminated)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), name="termination", daemon=True).start()


@contextmanager
def at_last(act: Callable[[], object]) -> Iterator[None]:
    """Within the block, `act` is done, in another thread, where the process is ended before it could end by itself."""
    _last.append(act)
    try:
        yield
    finally:
        _last.remove(act)


def raise_terminated(number: int, frame: FrameType | None) -> None:
    """What SIGTERM does in Python."""
    raise Terminated


def _watch(reader: int) -> None:
    while signal.SIGTERM not in os.read(reader, 64):
        pass
    time.sleep(GRACE)
    speaker = threading.Thread(target=_say_last_words, daemon=True)
    speaker.start()
    speaker.join(LAST_WORDS)
    os._exit(TERMINATED)


def _say_last_words() -> None:
    for act in reversed(_last):  # what was begun last is ended first
        with suppress(Exception):
            act()
