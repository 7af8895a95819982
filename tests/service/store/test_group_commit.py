"""What waits is committed together, in its order, and each who waits is told of what is theirs."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from recsys_vae.errors import UnavailableError
from service.store.group_commit import GroupCommit

SOON = 20


class Table:
    """Keeps the groups that are committed; the first one waits until it may."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.begun, self.may_go_on = Event(), Event()

    def commit(self, items: Sequence[str]) -> list[int]:
        is_first = not self.begun.is_set()
        self.begun.set()
        if is_first:
            assert self.may_go_on.wait(SOON)
        for bad, error in (("down", UnavailableError("down")), ("wrong", ValueError("wrong"))):
            if bad in items:
                raise error
        self.groups.append(list(items))
        return [len(item) for item in items]


def submit_beside(table: Table, items: list[str], largest: int = 100) -> list[int | Exception]:
    """What came of items that were handed in while the first one is committed, one after the other."""
    groups = GroupCommit(table.commit, len, largest)
    with ThreadPoolExecutor(len(items) + 1) as threads:
        first = threads.submit(groups.submit, "first")
        assert table.begun.wait(SOON)
        handed_in = []
        for place, item in enumerate(items, start=1):
            handed_in.append(threads.submit(groups.submit, item))
            while len(groups._waiting) < place:
                pass
        table.may_go_on.set()
        assert first.result() == 5
        return [future.exception() or future.result() for future in handed_in]  # type: ignore[misc]


def test_what_waits_goes_together_up_to_a_size_and_in_order() -> None:
    table = Table()
    assert submit_beside(table, ["aa", "bbb", "cccc", "d"], largest=5) == [2, 3, 4, 1]
    assert table.groups == [["first"], ["aa", "bbb"], ["cccc", "d"]]


def test_an_item_larger_than_a_group_goes_alone() -> None:
    table = Table()
    assert submit_beside(table, ["a" * 9, "b"], largest=5) == [9, 1]
    assert table.groups == [["first"], ["a" * 9], ["b"]]


def test_one_that_is_at_fault_does_not_sink_the_others() -> None:
    table = Table()
    found = submit_beside(table, ["aa", "wrong", "b"])
    assert (found[0], found[2]) == (2, 1)
    assert isinstance(found[1], ValueError)
    assert table.groups == [["first"], ["aa"], ["b"]]


def test_a_store_that_is_down_is_told_to_all_and_tried_once() -> None:
    table = Table()
    found = submit_beside(table, ["aa", "down"])
    assert [type(one) for one in found] == [UnavailableError] * 2
    assert table.groups == [["first"]]


def test_nobody_else_means_no_group() -> None:
    table = Table()
    table.may_go_on.set()
    groups = GroupCommit(table.commit, len, 5)
    assert [groups.submit(item) for item in ("a", "bb")] == [1, 2]
    with pytest.raises(ValueError, match="wrong"):
        groups.submit("wrong")
