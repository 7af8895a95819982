"""Locks: one process at a time works on a place, and another one is told who does.

A lock is a hidden file beside the place, `.NAME.lock`. The operating system holds it for a process (flock) and lets go
of it when that process ends, however it ends: a file that is left behind is stale, and the next process takes it over.
What stands in it, process, host and start, is for the message.
"""

import fcntl
import json
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from recsys_vae.errors import BusyError
from recsys_vae.storage import storage_error
from recsys_vae.termination import at_last

PAUSE = 0.05
"""Seconds between two attempts of a process that waits."""

logger = logging.getLogger(__name__)
_held: dict[Path, int] = {}
"""Places whose lock this process holds, and how often it has entered."""


@contextmanager
def exclusive(place: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of a place, which need not exist; a process that holds it may enter again.

    Args:
        wait: seconds to wait for another process before giving up.

    Raises:
        BusyError: another process holds it; the message names it.
        StorageError: nothing can be written beside the place.
    """
    place = place.absolute()
    if place in _held:
        _held[place] += 1
        try:
            yield
        finally:
            _held[place] -= 1
        return
    path = lock_path(place)
    file = _acquire(path, place, time.monotonic() + wait)
    _held[place] = 1
    try:
        with at_last(lambda: path.unlink(missing_ok=True)):
            yield
    finally:
        del _held[place]
        path.unlink(missing_ok=True)  # while it is held: whoever opened it meanwhile finds that it is gone
        file.close()


def lock_path(place: Path) -> Path:
    """Where the lock of a place lies."""
    return place.parent / f".{place.name}.lock"


def _acquire(path: Path, place: Path, deadline: float) -> TextIO:
    while True:
        file = _open(path, place)
        try:
            if _is_locked(file) and _still_there(path, file):
                _sign(file)
                return file
            owner = _owner(file)
        except BaseException:
            file.close()
            raise
        file.close()
        if time.monotonic() >= deadline:
            raise BusyError(
                f"{place} is being worked on by {owner}. Wait for it to end, or stop it; where it has ended, nothing "
                "needs to be removed."
            )
        time.sleep(PAUSE)


def _open(path: Path, place: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+")
    except OSError as error:
        raise storage_error(place, error) from error


def _is_locked(file: TextIO) -> bool:
    """Whether this process has the lock now; True, with a warning, on a disk that has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        logger.warning("%s: this disk has no locks (%s); see to it that one process writes here.", file.name, error)
    return True


def _still_there(path: Path, file: TextIO) -> bool:
    """Whether the file that is locked is the one at the path: its former holder removes it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _sign(file: TextIO) -> None:
    owner = {
        "process": os.getpid(),
        "host": platform.node(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with suppress(OSError):  # on a full disk it is held all the same
        file.truncate()
        json.dump(owner, file)
        file.flush()


def _owner(file: TextIO) -> str:
    try:
        owner = json.load(file)
        return f"process {owner['process']} on {owner['host']}, since {owner['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
