"""Pages give way to answers, for a moment only."""

import asyncio
from collections.abc import Iterator
from time import perf_counter, sleep
from typing import Any, cast

import pytest

from service.ranking.engine import Engine
from service.ui import courtesy


class Batcher:
    """Stands for that of an engine."""

    computing, queue_depth = 0, 0


class Answering:
    """Stands for an engine."""

    def __init__(self, computing: int = 0) -> None:
        self.batcher, self.is_shared = Batcher(), True
        self.batcher.computing = computing


def engine(computing: int = 0) -> Engine:
    return cast("Any", Answering(computing))


def slow(parts: int) -> Iterator[str]:
    for number in range(parts):
        sleep(2 * courtesy.SLICE)
        yield f"{number} "


def test_others_get_their_turn_between_two_slices() -> None:
    async def made() -> tuple[str, int]:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        beside = asyncio.create_task(others())
        text = await courtesy.in_slices(engine(), slow(5))
        beside.cancel()
        return text, turns

    text, turns = asyncio.run(made())
    assert text == "0 1 2 3 4 "
    assert turns >= 5


def test_a_page_waits_until_nothing_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "MOST", 60.0)

    async def waited() -> bool:
        busy = engine(1)
        page = asyncio.create_task(courtesy.give_way(busy))
        await asyncio.sleep(0.05)
        was_waiting = not page.done()
        busy.batcher.computing = 0
        await page
        return was_waiting

    assert asyncio.run(waited())


def test_a_page_does_not_wait_for_good() -> None:
    began = perf_counter()
    asyncio.run(courtesy.give_way(engine(1)))
    assert perf_counter() - began >= courtesy.MOST
    assert asyncio.run(courtesy.in_turn(engine(1), divmod, 7, 2)) == (3, 1)


def test_nobody_is_waited_for_where_only_pages_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "MOST", 3600.0)
    alone = Answering(1)
    alone.is_shared = False
    asyncio.run(asyncio.wait_for(courtesy.give_way(cast("Any", alone)), 60))
