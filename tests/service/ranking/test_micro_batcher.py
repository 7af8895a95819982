import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from socket import socket, socketpair
from threading import Event as Signal
from time import sleep, thread_time

import pytest

from service.errors import DeadlineError, OverloadedError
from service.ranking.batches import Here, Limits
from service.ranking.micro_batcher import STEP, Batcher
from service.ranking.steps import Steps


class Held:
    """Doubles numbers, batch by batch, each once it is let go; refuses negative ones."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.began, self.let_go = Signal(), Signal()

    def __call__(self, jobs: list[int]) -> Steps[Sequence[int | Exception]]:
        yield 0.0
        self.batches.append(jobs)
        self.began.set()
        assert self.let_go.wait(10)
        return [2 * job if job >= 0 else ValueError(job) for job in jobs]


class Counts:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.refused: list[str] = []
        self.computing = 0.0

    def batch_computed(self, waited: Sequence[float], computing: float, still_waiting: int) -> None:
        assert min(waited) >= 0
        self.sizes.append(len(waited))
        self.computing += computing

    def request_refused(self, reason: str) -> None:
        self.refused.append(reason)


Scenario = Callable[["Batcher[int, int]", Held, Counts], Awaitable[None]]


def play(scenario: Scenario, limits: Limits | None = None) -> tuple[Held, Counts]:
    held, counts = Held(), Counts()

    async def run() -> None:
        batcher: Batcher[int, int] = Batcher(held, limits or Limits(), counts)
        try:
            await scenario(batcher, held, counts)
        finally:
            held.let_go.set()
            batcher.close()

    asyncio.run(run())
    return held, counts


def soon(seconds: float = 10.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def begin(batcher: "Batcher[int, int]", held: Held, job: int) -> "asyncio.Task[int]":
    """Submit a job that finds nothing under way, and return once it is computed."""
    task = asyncio.create_task(batcher.submit(job, soon()))
    await asyncio.to_thread(held.began.wait, 10)
    return task


def test_what_comes_in_the_same_turn_is_one_batch_and_results_find_their_askers() -> None:
    async def scenario(batcher: "Batcher[int, int]", held: Held, _: Counts) -> None:
        held.let_go.set()
        assert await asyncio.gather(*(batcher.submit(job, soon()) for job in range(5))) == [0, 2, 4, 6, 8]

    held, counts = play(scenario)
    assert held.batches == [[0, 1, 2, 3, 4]]
    assert counts.sizes == [5]
    assert counts.computing > 0


def test_what_comes_while_one_is_computed_is_gathered_and_goes_when_it_ends() -> None:
    async def scenario(batcher: "Batcher[int, int]", held: Held, _: Counts) -> None:
        first = await begin(batcher, held, 0)
        rest = [asyncio.create_task(batcher.submit(job, soon())) for job in range(1, 6)]
        await asyncio.sleep(0.02)
        assert (batcher.queue_depth, batcher.computing) == (5, 1)
        held.let_go.set()
        assert await asyncio.gather(first, *rest) == [0, 2, 4, 6, 8, 10]

    assert play(scenario)[0].batches == [[0], [1, 2, 3, 4, 5]]


def test_after_a_batch_of_several_it_rests_unless_one_fills_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REST", "LONGEST_REST"):
        monkeypatch.setattr(f"service.ranking.micro_batcher.{name}", 1e9)

    async def scenario(batcher: "Batcher[int, int]", held: Held, _: Counts) -> None:
        held.let_go.set()
        assert await batcher.submit(0, soon()) == 0
        assert await asyncio.gather(*(batcher.submit(job, soon()) for job in (1, 2))) == [2, 4]
        others = [asyncio.create_task(batcher.submit(job, soon())) for job in (3, 4)]
        await asyncio.sleep(0.02)
        assert (batcher.queue_depth, batcher.computing) == (2, 0)
        assert await asyncio.gather(batcher.submit(5, soon()), *others) == [10, 6, 8]

    assert play(scenario, Limits(max_batch=3))[0].batches == [[0], [1, 2], [3, 4, 5]]


def test_a_second_thread_starts_after_the_time_to_gather() -> None:
    async def scenario(batcher: "Batcher[int, int]", held: Held, _: Counts) -> None:
        first = await begin(batcher, held, 0)
        second = asyncio.create_task(batcher.submit(1, soon()))
        await asyncio.sleep(0)
        assert held.batches == [[0]]
        third = asyncio.create_task(batcher.submit(2, soon()))
        while len(held.batches) < 2:
            await asyncio.sleep(0.01)
        assert batcher.computing == 2
        held.let_go.set()
        await asyncio.gather(first, second, third)

    assert play(scenario, Limits(compute_threads=2, gather_seconds=0.05))[0].batches == [[0], [1, 2]]


def test_a_full_batch_does_not_wait_for_more() -> None:
    async def scenario(batcher: "Batcher[int, int]", held: Held, _: Counts) -> None:
        first = await begin(batcher, held, 0)
        rest = [asyncio.create_task(batcher.submit(job, soon())) for job in (1, 2)]
        while len(held.batches) < 2:
            await asyncio.sleep(0.01)
        held.let_go.set()
        await asyncio.gather(first, *rest)

    assert play(scenario, Limits(compute_threads=2, max_batch=2, gather_seconds=60))[0].batches == [[0], [1, 2]]


def test_past_its_bound_the_queue_takes_nobody() -> None:
    async def scenario(batcher: "Batcher[int, int]", held: Held, counts: Counts) -> None:
        first = await begin(batcher, held, 0)
        rest = [asyncio.create_task(batcher.submit(job, soon())) for job in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await batcher.submit(3, soon())
        assert counts.refused == ["overloaded"]
        held.let_go.set()
        assert await asyncio.gather(first, *rest) == [0, 2, 4]

    play(scenario, Limits(max_queue=2))


def test_plain_requests_are_computed_beside_the_heavy_ones_of_another_key_and_not_after_them() -> None:
    """Heavy ones 100 to 163, each work for a batch of its own; plain ones 1 to 4 that come after them."""

    async def scenario(batcher: "Batcher[int, int]", held: Held, counts: Counts) -> None:
        first = await begin(batcher, held, 0)
        heavy = [asyncio.create_task(batcher.submit(100 + n, soon(), flow="bulk", work=400)) for n in range(64)]
        await asyncio.sleep(0)
        plain = [asyncio.create_task(batcher.submit(n, soon(), flow="shop")) for n in range(1, 5)]
        await asyncio.sleep(0)
        held.let_go.set()
        assert await asyncio.gather(first, *plain) == [0, 2, 4, 6, 8]
        assert held.batches[1:3] in ([[100], [1, 2, 3, 4]], [[1, 2, 3, 4], [100]])
        assert sum(not task.done() for task in heavy) >= 62
        await asyncio.gather(*heavy)
        assert counts.refused == []

    held, _ = play(scenario)
    assert [len(batch) for batch in held.batches[3:]] == [1] * 63


def test_what_is_left_of_a_heavy_batch_at_its_deadline_is_not_computed() -> None:
    async def scenario(batcher: "Batcher[int, int]", held: Held, _: Counts) -> None:
        first = await begin(batcher, held, 0)
        heavy = [asyncio.create_task(batcher.submit(n, soon(0.02), flow="bulk", work=400)) for n in range(1, 65)]
        failures = await asyncio.gather(*heavy, return_exceptions=True)
        assert {type(failure) for failure in failures} == {DeadlineError}
        plain = asyncio.create_task(batcher.submit(100, soon(), flow="shop"))
        await asyncio.sleep(0)
        held.let_go.set()
        assert await asyncio.gather(first, plain) == [0, 200]

    assert play(scenario)[0].batches == [[0], [100]]


def test_in_a_full_queue_who_has_most_gives_way_and_only_to_who_has_less() -> None:
    async def scenario(batcher: "Batcher[int, int]", held: Held, counts: Counts) -> None:
        first = await begin(batcher, held, 0)
        bulk = [asyncio.create_task(batcher.submit(n, soon(), flow="bulk")) for n in (1, 2, 3)]
        await asyncio.sleep(0)
        plain = asyncio.create_task(batcher.submit(9, soon(), flow="shop"))
        with pytest.raises(OverloadedError):
            await bulk[2]
        with pytest.raises(OverloadedError):
            await batcher.submit(4, soon(), flow="bulk")
        assert counts.refused == ["overloaded", "overloaded"]
        held.let_go.set()
        assert await asyncio.gather(first, *bulk[:2], plain) == [0, 2, 4, 18]

    play(scenario, Limits(max_queue=3))


def test_who_gave_up_or_ran_out_of_time_is_not_computed_and_leaves_room() -> None:
    async def scenario(batcher: "Batcher[int, int]", held: Held, counts: Counts) -> None:
        first = await begin(batcher, held, 0)
        left = asyncio.create_task(batcher.submit(1, soon()))
        late = asyncio.create_task(batcher.submit(2, soon(0.01)))
        with pytest.raises(DeadlineError):
            await late
        left.cancel()
        await asyncio.sleep(0)
        patient = [asyncio.create_task(batcher.submit(job, soon())) for job in (3, 4)]
        await asyncio.sleep(0)
        held.let_go.set()
        assert await asyncio.gather(first, *patient) == [0, 6, 8]
        assert counts.refused == ["deadline"]

    assert play(scenario, Limits(max_queue=2))[0].batches == [[0], [3, 4]]


def test_an_error_of_one_is_not_an_error_of_all() -> None:
    async def scenario(batcher: "Batcher[int, int]", held: Held, _: Counts) -> None:
        held.let_go.set()
        found = await asyncio.gather(*(batcher.submit(job, soon()) for job in (1, -1, 2)), return_exceptions=True)
        assert (found[0], found[2]) == (2, 4)
        assert isinstance(found[1], ValueError)

    play(scenario)


def test_a_computation_that_fails_as_a_whole_fails_its_batch_and_nothing_after() -> None:
    async def run() -> None:
        def compute(jobs: list[int]) -> Steps[Sequence[int]]:
            yield 0.0
            if 0 in jobs:
                raise RuntimeError("broken")
            return jobs

        batcher: Batcher[int, int] = Batcher(compute, Limits())
        with pytest.raises(RuntimeError, match="broken"):
            await batcher.submit(0, soon())
        assert await batcher.submit(1, soon()) == 1
        batcher.close()

    asyncio.run(run())


def test_who_could_not_be_answered_in_time_is_refused_when_it_comes() -> None:
    """Batches of one take 50 ms: twelve that wait are more than half of a second, and far less than ten seconds."""

    async def run() -> None:
        def compute(jobs: list[int]) -> Steps[Sequence[int]]:
            yield 0.0
            sleep(0.05)
            return jobs

        counts = Counts()
        batcher: Batcher[int, int] = Batcher(compute, Limits(max_batch=1, deadline_seconds=10), counts)
        assert batcher.most_under_way == 1024  # nothing is known of the pace
        await asyncio.gather(*(batcher.submit(job, soon()) for job in range(4)))
        assert 2 < batcher.most_under_way < 100
        waiting = [asyncio.create_task(batcher.submit(job, soon())) for job in range(12)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await batcher.submit(12, soon(1.0))
        assert counts.refused == ["overloaded"]
        assert await batcher.submit(13, soon()) == 13
        assert await asyncio.gather(*waiting) == list(range(12))
        batcher.close()

    asyncio.run(run())


def test_a_slow_pace_leaves_room_for_full_batches_that_may_prove_it_wrong() -> None:
    async def run() -> None:
        def compute(jobs: list[int]) -> Steps[Sequence[int]]:
            yield 0.0
            sleep(0.02)
            return jobs

        batcher: Batcher[int, int] = Batcher(compute, Limits(max_batch=4, deadline_seconds=0.01))
        first = [asyncio.create_task(batcher.submit(job, soon())) for job in range(3)]
        await asyncio.sleep(0.01)
        second = [asyncio.create_task(batcher.submit(job, soon())) for job in range(3)]
        await asyncio.gather(*first, *second)
        assert batcher.most_under_way == 8
        batcher.close()

    asyncio.run(run())


def test_one_is_told_that_its_time_is_over_while_it_is_computed_and_others_are_not() -> None:
    async def scenario(batcher: "Batcher[int, int]", held: Held, counts: Counts) -> None:
        hurried = asyncio.create_task(batcher.submit(0, soon(0.02)))
        patient = asyncio.create_task(batcher.submit(1, soon()))
        with pytest.raises(DeadlineError):
            await hurried
        assert counts.refused == ["deadline"]
        held.let_go.set()
        assert await patient == 2

    assert play(scenario)[0].batches == [[0, 1]]


class Stepping:
    """Does heavy jobs, 100 and more, in parts of this work, small ones at once; keeps what it did in which order."""

    def __init__(self, part: float) -> None:
        self.part = part
        self.done: list[list[int]] = []
        self.began, self.let_go = Signal(), Signal()

    def __call__(self, jobs: list[int]) -> Steps[Sequence[int]]:
        for _ in range(round(400 / self.part) if jobs[0] >= 100 else 1):
            self.done.append(jobs)
            self.began.set()
            assert self.let_go.wait(10)
            yield self.part if jobs[0] >= 100 else 0.0
        return [2 * job for job in jobs]


def test_a_heavy_request_is_interrupted_by_plain_ones_of_another_key_and_ends_all_the_same() -> None:
    async def run() -> None:
        compute = Stepping(part=8.0)
        batcher: Batcher[int, int] = Batcher(compute, Limits(), Counts())
        heavy = asyncio.create_task(batcher.submit(100, soon(), flow="bulk", work=400))
        await asyncio.to_thread(compute.began.wait, 10)
        plain = [asyncio.create_task(batcher.submit(n, soon(), flow="shop")) for n in range(40)]
        await asyncio.sleep(0)
        compute.let_go.set()
        assert await asyncio.gather(*plain) == [2 * n for n in range(40)]
        assert not heavy.done()
        assert await heavy == 200
        sizes = [(len(list(same)), len(jobs)) for jobs, same in groupby(compute.done)]
        # (parts, requests): a step of two parts, and the next after as many plain requests as make the work of a step.
        assert sizes[:6] == [(2, 1), (1, 17), (2, 1), (1, 16), (2, 1), (1, 7)]
        assert sum(jobs == [100] for jobs in compute.done) == 50
        batcher.close()

    asyncio.run(run())


def test_what_is_left_of_a_heavy_request_at_its_deadline_is_not_computed() -> None:
    async def run() -> None:
        compute, counts = Stepping(part=8.0), Counts()
        batcher: Batcher[int, int] = Batcher(compute, Limits(), counts)
        heavy = asyncio.create_task(batcher.submit(100, soon(0.02), flow="bulk", work=400))
        with pytest.raises(DeadlineError):
            await heavy
        compute.let_go.set()
        assert await batcher.submit(1, soon()) == 2
        assert compute.done == [[100], [1]]
        assert counts.refused == ["deadline"]
        assert batcher.queue_depth == 0
        batcher.close()

    asyncio.run(run())


def test_heavy_ones_of_one_key_end_one_after_the_other_and_leave_nothing_ahead_of_others() -> None:
    async def run() -> None:
        compute = Stepping(part=8.0)
        batcher: Batcher[int, int] = Batcher(compute, Limits(), Counts())
        first = asyncio.create_task(batcher.submit(100, soon(), flow="bulk", work=400))
        await asyncio.to_thread(compute.began.wait, 10)
        rest = [asyncio.create_task(batcher.submit(n, soon(), flow="bulk", work=400)) for n in (101, 102)]
        await asyncio.sleep(0)
        compute.let_go.set()
        await first
        assert await batcher.submit(1, soon(), flow="shop") == 2
        assert await asyncio.gather(*rest) == [202, 204]
        assert [jobs for jobs, _ in groupby(compute.done) if jobs != [1]] in (
            [[100], [101], [102]],
            [[100], [101], [101], [102]],
        )
        batcher.close()

    asyncio.run(run())


def test_a_heavy_request_that_fails_in_a_later_step_is_told_so() -> None:
    async def run() -> None:
        def compute(jobs: list[int]) -> Steps[Sequence[int]]:
            for _ in range(3):
                yield STEP
            raise RuntimeError("broken")

        batcher: Batcher[int, int] = Batcher(compute, Limits())
        with pytest.raises(RuntimeError, match="broken"):
            await batcher.submit(100, soon(), work=50)
        batcher.close()

    asyncio.run(run())


def test_short_plain_batches_are_computed_on_the_event_loop_once_it_is_known_that_they_are_short() -> None:
    loops, prepared, spent = list[int](), list[list[int]](), list[bool]()

    def prepare(jobs: list[int]) -> str:
        assert threading.current_thread() is not threading.main_thread()
        prepared.append(jobs)
        if 13 in jobs:
            raise OSError("nothing is to be had")
        return "ready"

    def compute(jobs: list[int], ready: str) -> Sequence[int | Exception]:
        assert (ready, threading.current_thread()) == ("ready", threading.main_thread())
        loops.extend(jobs)
        if spent:
            busy_until = thread_time() + 0.03
            while thread_time() < busy_until:
                pass
        return [2 * job if job >= 0 else ValueError(job) for job in jobs]

    async def run() -> None:
        held = Held()
        held.let_go.set()
        here = Here(lambda job: job != 7, prepare, compute)
        batcher: Batcher[int, int] = Batcher(held, Limits(here_seconds=0.02), None, here)
        assert await batcher.submit(1, soon()) == 2
        assert held.batches == [[1]]  # nobody knew
        assert await batcher.submit(2, soon()) == 4
        with pytest.raises(ValueError, match="-1"):
            await batcher.submit(-1, soon())
        with pytest.raises(OSError, match="nothing"):
            await batcher.submit(13, soon())
        assert (held.batches, loops, prepared) == ([[1]], [2, -1], [[2], [-1], [13]])
        assert await batcher.submit(7, soon()) == 14  # may not be
        assert await batcher.submit(3, soon(), work=2.0) == 6  # is not plain
        assert held.batches == [[1], [7], [3]]
        spent.append(True)
        for _ in range(20):
            await batcher.submit(5, soon())
        assert held.batches[-1] == [5]  # they have become long
        assert loops[-1] == 5
        batcher.close()

    asyncio.run(run())


def test_what_nothing_has_to_be_waited_for_is_computed_without_a_thread() -> None:
    prepared, found = list[list[int]](), dict[int, str]()

    def prepare(jobs: list[int]) -> str:
        prepared.append(jobs)
        return "after a wait"

    def at_once(jobs: list[int]) -> str | None:
        if 4 in jobs:
            raise OSError("nothing is to be had")
        return None if 3 in jobs else "at once"

    def compute(jobs: list[int], ready: str) -> Sequence[int | Exception]:
        found.update(dict.fromkeys(jobs, ready))
        return [2 * job for job in jobs]

    async def run() -> None:
        held = Held()
        held.let_go.set()
        here = Here(lambda job: True, prepare, compute, at_once)
        batcher: Batcher[int, int] = Batcher(held, Limits(here_seconds=10.0), None, here)
        for job in (1, 2, 3, 4, 5, 6):
            assert await batcher.submit(job, soon()) == 2 * job
        batcher.close()

    asyncio.run(run())
    assert prepared == [[3], [4]]
    assert found == {2: "at once", 3: "after a wait", 4: "after a wait", 5: "at once", 6: "at once"}


def test_what_comes_while_a_batch_is_computed_on_the_event_loop_is_read_before_the_next_one() -> None:
    batches, asked = list[list[int]](), list["asyncio.Task[int]"]()

    async def run() -> None:
        loop, held = asyncio.get_running_loop(), Held()
        held.let_go.set()

        def compute(jobs: list[int], _: bool) -> Sequence[int | Exception]:
            batches.append(jobs)
            if jobs == [2]:  # two sockets have something to read by the time that this has ended
                for job in (4, 5):
                    near, far = socketpair()
                    near.send(b"x")
                    loop.add_reader(far, lambda job=job, far=far, near=near: arrived(job, near, far))
            return [2 * job for job in jobs]

        def arrived(job: int, *ends: socket) -> None:
            loop.remove_reader(ends[1])
            for end in ends:
                end.close()
            asked.append(asyncio.create_task(batcher.submit(job, soon())))

        batcher: Batcher[int, int] = Batcher(
            held, Limits(here_seconds=10.0), None, Here(lambda job: True, lambda jobs: True, compute, lambda jobs: True)
        )
        await batcher.submit(1, soon())
        await asyncio.gather(batcher.submit(6, soon()), batcher.submit(7, soon()))  # now batches of two are known, too
        await batcher.submit(2, soon())
        while len(asked) < 2:
            await asyncio.sleep(0)
        await asyncio.gather(*asked)
        batcher.close()

    asyncio.run(run())
    assert batches == [[2], [4, 5]]
