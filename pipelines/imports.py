"""Imports of a verb, without looking for what can go among modules, which stay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """While modules are imported, the garbage collector rests; what stands by then it passes over from now on.

    That is in the process of a command, whose modules it passes over already (`pipelines.cli`); elsewhere all stays as
    it is.
    """
    if not gc.get_freeze_count():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
