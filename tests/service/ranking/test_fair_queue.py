import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ranking.fair_queue import FairQueue

ADDED = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), max_size=60)


def filled(*entries: tuple[str, float]) -> FairQueue[str]:
    """A queue of `flow + number`, in the order of coming."""
    queue: FairQueue[str] = FairQueue()
    for number, (flow, work) in enumerate(entries):
        queue.add(f"{flow}{number}", flow, work)
    return queue


def drained(queue: FairQueue[str]) -> list[str]:
    found = []
    while queue:
        found += queue.take(1, 1)
    return found


def test_one_flow_alone_is_first_come_first_served_whatever_the_work() -> None:
    assert drained(filled(("a", 9), ("a", 1), ("a", 5))) == ["a0", "a1", "a2"]


def test_a_plain_request_waits_for_one_of_many_heavy_ones_and_not_for_all() -> None:
    queue = filled(*[("bulk", 100)] * 5)
    assert queue.take(1, 1) == ["bulk0"]
    queue.add("plain", "shop", 1)
    assert drained(queue) == ["plain", "bulk1", "bulk2", "bulk3", "bulk4"]


def test_flows_get_the_same_work_and_so_a_different_number_of_requests() -> None:
    assert drained(filled(*[("b", 4)] * 3, *[("a", 1)] * 12)) == [
        "b0", "a3", "a4", "a5", "a6", "b1", "a7", "a8", "a9", "a10", "b2", "a11", "a12", "a13", "a14",
    ]  # fmt: skip


def test_what_is_taken_together_stays_within_its_work_unless_it_is_one() -> None:
    queue = filled(("a", 50), ("a", 2), ("a", 2), ("a", 2), ("a", 9))
    assert [queue.take(9, 5) for _ in range(4)] == [["a0"], ["a1", "a2"], ["a3"], ["a4"]]
    assert filled(*[("a", 1)] * 5).take(3, 100) == ["a0", "a1", "a2"]


def test_who_gives_up_is_not_charged() -> None:
    queue = filled(("a", 100), ("a", 1), ("b", 3), ("b", 3))
    queue.keep(lambda entry: entry != "a0")
    assert (len(queue), queue.work) == (3, 7)
    assert drained(queue) == ["a1", "b2", "b3"]


def test_the_longest_gives_way_and_never_to_one_who_has_as_much() -> None:
    queue = filled(("bulk", 5), ("shop", 1), ("bulk", 5))
    assert queue.last_of_longest("shop", 1) == "bulk2"
    assert queue.last_of_longest("new", 9) == "bulk2"
    assert queue.last_of_longest("new", 10) is None
    assert queue.last_of_longest("bulk", 1) is None


@given(ADDED, st.integers(0, 20))
def test_nobody_is_lost_or_reordered_within_a_flow_and_the_work_ahead_is_what_comes_before(
    added: list[tuple[str, int]], n_taken: int
) -> None:
    queue = filled(*added)
    assert queue.work == sum(work for _, work in added)
    first = [entry for _ in range(n_taken) for entry in queue.take(1, 1)]
    ahead = {flow: queue.work_ahead(flow) for flow in "abc"}
    for flow in "abc":
        again = filled(*added)
        for _ in range(n_taken):
            again.take(1, 1)
        again.add(f"{flow}!", flow, 1)
        before = drained(again)
        works = {f"{name}{number}": work for number, (name, work) in enumerate(added)}
        come_before = sum(works[entry] for entry in before[: before.index(f"{flow}!")])
        # An entry of another flow that has the same start, or lies across it, counts in part.
        assert abs(come_before - ahead[flow]) <= 50 * 3
    order = first + drained(queue)
    assert sorted(order) == sorted(f"{flow}{number}" for number, (flow, _) in enumerate(added))
    for flow in "abc":
        assert [e for e in order if e[0] == flow] == [f"{f}{n}" for n, (f, _) in enumerate(added) if f == flow]


@pytest.mark.parametrize("n_flows", [1, 2, 5])
def test_no_flow_is_ever_behind_by_more_than_one_of_its_own_and_one_of_anothers(n_flows: int) -> None:
    flows = "abcde"[:n_flows]
    queue = filled(*[(flow, 1 + 7 * place) for place, flow in enumerate(flows) for _ in range(40)])
    done = dict.fromkeys(flows, 0)
    while all(sum(entry[0] == flow for entry in queue) for flow in flows):
        (entry,) = queue.take(1, 1)
        done[entry[0]] += 1 + 7 * flows.index(entry[0])
        assert max(done.values()) - min(done.values()) <= 2 * (1 + 7 * (n_flows - 1))


def is_heavy(entry: str) -> bool:
    return entry.startswith(("bulk", "heavy"))


def test_what_is_put_back_goes_on_after_those_of_other_flows_that_came_meanwhile() -> None:
    queue = filled(("bulk", 40), ("bulk", 40))
    assert queue.take(9, 64, is_heavy) == ["bulk0"]
    for number in range(3):
        queue.add(f"plain{number}", "shop", 1)
    queue.put_back("bulk0", "bulk", 24, 16)
    assert queue.take(9, 64, is_heavy) == ["plain0", "plain1", "plain2"]
    assert queue.take(9, 64, is_heavy) == ["bulk0"]
    queue.put_back("bulk0", "bulk", 8, 16)
    assert drained(queue) == ["bulk0", "bulk1"]


def test_what_comes_while_the_only_entry_is_under_way_goes_after_it_in_its_own_flow() -> None:
    queue = filled(("bulk", 40))
    assert queue.take(9, 64, is_heavy) == ["bulk0"]
    queue.add("bulk1", "bulk", 40)
    queue.put_back("bulk0", "bulk", 24, 16)
    assert queue.work_ahead("shop") == 0
    queue.add("plain", "shop", 1)
    assert drained(queue) == ["plain", "bulk0", "bulk1"]


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(2, 20))
def test_between_two_plain_entries_that_wait_a_heavy_one_does_one_step_at_most_for_its_share(
    arrivals: list[int], step: int
) -> None:
    """Before each take so many plain ones come, of work 1; the heavy one goes on for ever."""
    queue: FairQueue[str] = FairQueue()
    queue.add("heavy", "bulk", 10_000)
    left, ahead = 10_000, 0
    for n_new in arrivals:
        for _ in range(n_new):
            queue.add("plain", "shop", 1)
        (taken,) = queue.take(1, 1, is_heavy)
        if taken == "plain":
            ahead = max(0, ahead - 1)
            continue
        waiting = len(queue)
        ahead = ahead + step if waiting else 0
        assert ahead <= 2 * step
        left -= step
        queue.put_back("heavy", "bulk", left, step)
        assert queue.work_ahead("bulk") == left + len(queue) - 1
