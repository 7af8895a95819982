"""The start of `recsys`, where the command line's own packages may be missing."""

import atexit
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


def main() -> None:
    """Run the command line; a package of an extra that is not installed is one line and exit status 1."""
    os.environ.setdefault("_RJEM_MALLOC_CONF", RETURN_MEMORY)
    if sys.argv[1:2] == ["ingest"]:  # multiplies no matrices, and threads that wait for some take its time
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
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
