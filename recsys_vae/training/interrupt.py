"""Interrupt: Ctrl-C and SIGTERM wait for the end of a step, so that what is saved then is whole."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

from recsys_vae.termination import Terminated

SIGNALS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


class Interrupt:
    """While it is entered, the first SIGINT or SIGTERM is noted only; a second one interrupts at once.

    Outside the main thread, where signals cannot be handled, it does nothing. Nor for a signal that is ignored, as
    SIGINT in jobs that a script or a scheduler starts in the background: Ctrl-C is not meant for them; nor for a
    SIGTERM that nobody takes (`termination.end_on_sigterm`), which ends the process.
    """

    def __init__(self) -> None:
        self.noted: int | None = None
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, signal.SIG_DFL, None):  # None: not from Python, not to be restored
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def is_asked_for(self) -> bool:
        """Whether a signal was noted."""
        return self.noted is not None

    @property
    def is_termination(self) -> bool:
        """Whether it was SIGTERM."""
        return self.noted == signal.SIGTERM

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked_for:
            raise SIGNALS[signal.Signals(number)]
        self.noted = number
