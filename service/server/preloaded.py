"""What every worker imports, imported once, in the process that workers are forked from: they have it at once, and in
memory once.

A thread does not survive a fork, and locks that it held stay locked. So nothing is called here: threads of BLAS,
OpenMP, CUDA and polars' queries come with the first call, in the worker. Three begin as polars is imported, and rest by
the time that all is. Two free memory of its allocator, jemalloc, which sees to its own locks when a process forks; one
removes files that queries were spilled to, and no query of the service is. (OpenBLAS ends its threads before a fork.)
"""

import gc
import os
import signal
from contextlib import suppress

import alembic.command
import alembic.config
import polars
import scipy.linalg
import sqlalchemy.orm

from recsys_vae.errors import MissingExtraError
from recsys_vae.models import variational
from recsys_vae.retrieval import faiss_index
from service.server import pages_server, uvicorn_server

__all__ = ["alembic", "pages_server", "polars", "scipy", "sqlalchemy", "uvicorn_server", "variational"]

with suppress(ImportError, MissingExtraError):
    INDEX = faiss_index.faiss.Index  # FAISS is imported when it is first asked for something


def _take_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


# SIGTERM to all processes at once, as systemd sends it, must not end this one, by which the supervisor knows how the
# workers are; it ends with the supervisor. The workers take it.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.register_at_fork(after_in_child=_take_sigterm)

# A worker's collector does not go through all this, which would copy every page that the workers share.
gc.freeze()
