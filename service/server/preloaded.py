"""What every worker needs of other packages, imported once, in the process that workers are forked from.

Only what starts no thread as it is imported: a thread does not survive a fork, and locks that it held stay locked. So
polars is not here, nor anything of the service, which brings it. (OpenBLAS, the exception, ends its threads before a
fork.) Nothing is called either: other threads of BLAS, OpenMP and CUDA come with the first call, in the worker.
"""

import gc
import os
import signal

import fastapi
import jinja2
import opentelemetry.trace
import prometheus_client
import scipy.linalg
import scipy.sparse
import scipy.special
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite
import sqlalchemy.orm
import structlog
import torch
import uvicorn

__all__ = [
    "fastapi",
    "jinja2",
    "opentelemetry",
    "prometheus_client",
    "scipy",
    "sqlalchemy",
    "structlog",
    "torch",
    "uvicorn",
]


def _take_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


# SIGTERM to all processes at once, as systemd sends it, must not end this one, by which the supervisor knows how the
# workers are; it ends with the supervisor. The workers take it.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.register_at_fork(after_in_child=_take_sigterm)

# A worker's collector does not go through all this, which would copy every page that the workers share.
gc.freeze()
