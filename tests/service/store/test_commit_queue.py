"""What tasks hand in while a group is committed goes into the next one, and each is told of what is theirs."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from threading import Event

import pytest

from recsys_vae.errors import UnavailableError
from service.store.group_commit import CommitQueue


async def handed_in(items: list[str], largest: int = 100) -> tuple[list[list[str]], list[object]]:
    """The groups that were committed, and what came of each item; the first is committed while all others wait."""
    groups: list[list[str]] = []
    may_go_on = Event()

    def commit(group: Sequence[str]) -> list[int]:
        assert may_go_on.wait(20)
        for bad, error in (("down", UnavailableError("down")), ("wrong", ValueError("wrong"))):
            if bad in group:
                raise error
        groups.append(list(group))
        return [len(item) for item in group]

    with closing(CommitQueue(commit, len, largest)) as queue:
        waiting = [asyncio.ensure_future(queue.submit(item)) for item in items]
        await asyncio.sleep(0)
        may_go_on.set()
        return groups, await asyncio.gather(*waiting, return_exceptions=True)


def test_what_waits_goes_together_up_to_a_size_and_in_order() -> None:
    groups, found = asyncio.run(handed_in(["first", "aa", "bbb", "cccc", "d"], largest=5))
    assert groups == [["first"], ["aa", "bbb"], ["cccc", "d"]]
    assert found == [5, 2, 3, 4, 1]


def test_one_at_fault_does_not_sink_the_others_and_a_store_that_is_down_is_told_to_all() -> None:
    groups, found = asyncio.run(handed_in(["first", "aa", "wrong", "b"]))
    assert groups == [["first"], ["aa"], ["b"]]
    assert isinstance(found[2], ValueError)
    assert [found[0], found[1], found[3]] == [5, 2, 1]
    groups, found = asyncio.run(handed_in(["first", "down", "a"]))
    assert groups == [["first"]]
    assert [type(one) for one in found[1:]] == [UnavailableError] * 2


def test_who_gives_up_waiting_holds_nobody_up() -> None:
    async def given_up() -> int:
        with closing(CommitQueue(lambda group: [len(item) for item in group], len, 5)) as queue:
            first = asyncio.ensure_future(queue.submit("first"))
            await asyncio.sleep(0)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            return await queue.submit("ab")

    assert asyncio.run(given_up()) == 2
