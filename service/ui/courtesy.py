"""Courtesy: pages give way to answers, which are computed by the same interpreter.

What a page computes in Python is done in slices, or in the one thread that pages have for it. Before each, whatever is
being answered comes to its end; a page waits for that for a moment only, as on a busy service there is always
something. Pages that have a process of their own do not wait.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter
from typing import Any, Final, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

from service.ranking.engine import Engine

SLICE: Final = 0.001
"""Seconds that a page computes in the event loop at a time."""
LOOK: Final = 0.0005
MOST: Final = 0.003
"""Seconds between two looks at whether something is answered, and that a page gives way before each slice at most."""
WORKERS: Final = CapacityLimiter(1)

Asked = ParamSpec("Asked")
Found = TypeVar("Found")


async def give_way(engine: Engine) -> None:
    """Wait until nothing is being answered, a moment at most; where only pages are, nobody is waited for."""
    await asyncio.sleep(0)
    if not engine.is_shared:
        return
    until = perf_counter() + MOST
    while (engine.batcher.computing or engine.batcher.queue_depth) and perf_counter() < until:
        await asyncio.sleep(LOOK)


async def in_slices(engine: Engine, parts: Iterable[str]) -> str:
    """All parts of a text that is made as they are asked for."""
    made: list[str] = []
    await give_way(engine)
    began = perf_counter()
    for part in parts:
        made.append(part)
        if perf_counter() - began > SLICE:
            await give_way(engine)
            began = perf_counter()
    return "".join(made)


async def in_turn(engine: Engine, work: Callable[Asked, Found], *given: Asked.args, **named: Asked.kwargs) -> Found:
    """What work in the thread of pages finds."""
    await give_way(engine)
    call: Callable[[], Any] = partial(work, *given, **named)
    found: Found = await to_thread.run_sync(call, limiter=WORKERS)
    return found
