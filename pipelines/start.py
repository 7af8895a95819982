"""The start of `recsys`, where the command line's own packages may be missing."""

import atexit
import ctypes
import gc
import os
import sys
import threading
from typing import NoReturn

from recsys_vae.errors import MissingExtraError
from recsys_vae.extras import explained

RETURN_MEMORY = "dirty_decay_ms:30,muzzy_decay_ms:0"
"""To jemalloc, polars' allocator, which reads it when polars is loaded: memory that has been free for so long goes back
to the system. After polars' own half second, an ingest holds a seventh more at its peak."""


SWITCH = 0.0005
"""Seconds after which a thread that imports modules lets others go on, which read the log beside it."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""


def hold_memory() -> None:
    """Have glibc keep memory that is free for what comes next; an ingest gives it back where it needs no more blocks.

    Each block of a log has as much as the one before. By itself glibc would take it from the system anew, which
    clears it: a fifth of the page faults of an ingest.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 1 << 30)
        mallopt(M_ARENA_MAX, 1)


def main() -> None:
    """Run the command line; a package of an extra that is not installed is one line and exit status 1."""
    os.environ.setdefault("_RJEM_MALLOC_CONF", RETURN_MEMORY)
    if sys.argv[1:2] == ["ingest"]:  # multiplies no matrices, and threads that wait for some take its time
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        sys.setswitchinterval(SWITCH)
        hold_memory()
    gc.disable()  # modules stay, so that looking for what can go among them is in vain; `run` enables it
    try:
        with explained():
            from pipelines.cli import main as run
            from pipelines.cli import own_process
    except MissingExtraError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    own_process()
    if sys.argv[1:2] != ["ingest"]:
        run()
        return
    try:
        run()
    except SystemExit as end:
        _end(end)


def _end(end: SystemExit) -> NoReturn:
    """End the process as the interpreter does, but leave it to the system to take modules and tables apart.

    Doing so takes a thirtieth of an ingest of 3 million rows. An exit that has something to say is the interpreter's.
    """
    if not (end.code is None or isinstance(end.code, int)):
        raise end
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        raise end from None
    os._exit(end.code or 0)
