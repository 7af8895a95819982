"""Loads in the background: each call to outside with a deadline of its own, and none that holds up a stop.

Registries and buckets are asked by libraries whose timeouts hold for an attempt, of which they make several, or for
nothing. Threads cannot be stopped, so one that does not come back is left to itself: these are daemons, which the end
of the process does not wait for, unlike the threads of asyncio's and anyio's pools.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

from recsys_vae.errors import UnavailableError

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T], asked: str) -> T:
    """What a call gives, if it gives it in time.

    Args:
        seconds: that it is waited for.
        call: that leaves this machine.
        asked: who is asked for what, for the message.

    Raises:
        UnavailableError: there was no answer in time.
    """
    future = _started(call)
    try:
        return future.result(timeout=seconds)
    except TimeoutError as error:
        if future.done():  # it is an error of the call's own
            raise
        raise UnavailableError(
            f"{asked}: no answer within {seconds:g} s. Check that it runs, and ask again."
        ) from error


async def in_background(call: Callable[[], T]) -> T:
    """What a call gives that may take long; whoever is cancelled while waiting leaves it to itself."""
    return await asyncio.wrap_future(_started(call))


def _started(call: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # so that nobody who stops waiting takes the place of its result
    context = copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(call))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name="recsys-load", daemon=True).start()
    return future
