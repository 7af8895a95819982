"""Interrupt: Ctrl-C waits for the end of a step, so that what is saved then is whole."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Interrupt:
    """While it is entered, the first SIGINT is noted only; a second one interrupts at once.

    Outside the main thread, where signals cannot be handled, it does nothing. Nor where SIGINT is ignored, as in jobs
    that a script or a scheduler starts in the background: Ctrl-C is not meant for them.
    """

    def __init__(self) -> None:
        self.is_asked_for = False
        self._before: signal._HANDLER = None

    def __enter__(self) -> Self:
        is_ours = signal.getsignal(signal.SIGINT) not in (
            signal.SIG_IGN,
            None,
        )  # None: not from Python, not to be restored
        if is_ours and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked_for:
            raise KeyboardInterrupt
        self.is_asked_for = True
