"""What every worker imports, imported once, in the process that workers are forked from: a worker has it at once, and
shares its memory with the others.

A thread does not survive a fork, and locks that it held stay locked. So nothing is called here: threads of BLAS,
OpenMP, CUDA and polars' queries come with the first call, in the worker. Three are begun by polars as it is imported,
and rest before anything is forked: two free the memory of its allocator, jemalloc, which sees to its locks itself when
a process forks, and one removes files that queries were spilled to, which no query of the service is. (OpenBLAS ends its
threads before a fork.)
"""

import gc
import os
import signal
from contextlib import suppress

import polars  # before all else, so that its threads have come to rest when the rest is imported
import alembic.command
import scipy.linalg
import sqlalchemy.orm

from service.server import pages_server, uvicorn_server

with suppress(ImportError):  # of an extra
    import faiss

__all__ = ["alembic", "faiss", "pages_server", "polars", "scipy", "sqlalchemy", "uvicorn_server"]


def _take_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


# SIGTERM to all processes at once, as systemd sends it, must not end this one, by which the supervisor knows how the
# workers are; it ends with the supervisor. The workers take it.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.register_at_fork(after_in_child=_take_sigterm)

# A worker's collector does not go through all this, which would copy every page that the workers share.
gc.freeze()
