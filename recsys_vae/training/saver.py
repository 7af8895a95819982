"""CheckpointSaver: when a run is saved while it goes on, and where an interrupt takes effect."""

import time
from pathlib import Path
from typing import Any

from recsys_vae.termination import Terminated
from recsys_vae.training.checkpoint import Run, save_checkpoint
from recsys_vae.training.interrupt import Interrupt


class CheckpointSaver:
    """Saves a run from time to time, spending at most a tenth of the time on it; without a path, never.

    An interrupt that was asked for, in any process, is carried out here, between two steps, once the run is saved.
    """

    def __init__(self, path: Path | None, every_seconds: float, interrupt: Interrupt) -> None:
        self._path = path
        self._every = every_seconds
        self._interrupt = interrupt
        self._due = time.monotonic() + every_seconds

    def save_if_due(self, run: Run[Any, Any]) -> None:
        """Save when it is time."""
        is_due = run.group.is_first and time.monotonic() >= self._due
        interrupt = self._interrupt
        interrupted, terminated, is_due = run.group.any([interrupt.is_asked_for, interrupt.is_termination, is_due])
        if interrupted or is_due:
            self.save(run)
        if interrupted:
            raise Terminated if terminated else KeyboardInterrupt

    def save(self, run: Run[Any, Any]) -> None:
        """Save now."""
        if self._path is None:
            return
        started = time.monotonic()
        save_checkpoint(self._path, run)
        now = time.monotonic()
        self._due = now + max(self._every, 10 * (now - started))
