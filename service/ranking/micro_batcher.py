"""Batcher: requests that come while others are computed are gathered and computed together, off the event loop.

    submit -> queue (bounded) -> batch -> compute thread -> each its own result

A request that finds a thread and the queue empty goes at once, with whatever came in the same turn of the event loop.
While a batch is computed the next one gathers: until it is full, a thread is free, and the oldest in it has waited
`gather_seconds` or no thread computes any more, whichever comes first. After a batch of several requests more are on
their way: a thread that computed them rests, the longer the more there were, unless a batch fills meanwhile. A small
batch costs nearly what a large one does, so half of the highest rate would else take the whole of a core.

A batch of plain requests may be computed on the event loop (`Here`), where that takes no more processor time than
`Limits.here_seconds`, by such batches so far. Where a worker has one core nobody could do anything else meanwhile, and
two threads hand the interpreter to each other some thirty times a batch. There nothing rests: what has come while a
batch was computed is read from its sockets, and the next one begins.

Who could not be answered in time is refused when it comes, not when its time is over: by the work ahead of it, and the
pace at which batches that follow each other at once have ended of late. So what is computed is waited for: whoever is
let in gets its answer. Who shares the queue gets an equal part of it (`fair_queue`), and no batch has more work than
`max_batch` plain requests make, unless it is one request. One of more work than `STEP` is computed alone and in steps
(`steps`): after each it goes back into the queue, others of other flows are computed before its next one, and at its
deadline what is left of it never is.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from time import perf_counter, thread_time
from typing import Any, Generic

from service.errors import DeadlineError, OverloadedError
from service.ranking.batches import Here, Job, Limits, Observer, Result, Unobserved
from service.ranking.fair_queue import FairQueue
from service.ranking.steps import Paused, Steps, advanced

PATIENCE = 0.5
"""Share of the time left to a request that it may wait for others: the rest is for its own batch and its answer."""
NEWEST = 0.2
"""Weight of the last batch in the pace."""
FEWEST = 2
"""Full batches that may be under way whatever the pace, so that a pace found with small ones can prove too slow."""

REST, LONGEST_REST = 0.25, 0.5
"""Of its processor time that a batch took, what a thread rests for each request in it but one, and in all at most.
Longer rests make larger batches, which rest longer: with a most of 2, half of the answers at half of the highest rate
took 46 ms, with 0.5 they take 15."""

STEP = 16.0
"""Plain requests whose work is done of a heavy one before others get their turn."""
LEAST_LEFT = 1.0
"""Work that a request which has not ended is taken to need still, where it has taken more than it was to."""


@dataclass(eq=False, slots=True)
class Waiting(Generic[Job, Result]):
    """A job in the queue; where it has begun, with what is left of it: `steps`, this `work`."""

    job: Job
    result: "asyncio.Future[Result]"
    flow: str
    work: float
    since: float
    deadline: float
    steps: Steps[Sequence[Result | Exception]] | None = None
    began: float = 0.0
    computing: float = 0.0

    @property
    def is_heavy(self) -> bool:
        """Whether it is computed alone, and in steps."""
        return self.work > STEP or self.steps is not None


Batch = list[Waiting[Job, Result]]
Outcomes = Sequence[Result | Exception]
Timed = tuple[Result, float]
"""With the processor time that it took of the thread which computed it."""


class Batcher(Generic[Job, Result]):
    """Gathers jobs into batches. Everything but `compute` runs on the event loop.

    Args:
        compute: a result or an error for each job of a batch, in order, in steps; run in compute threads.
        limits: how many and how long.
        observer: told of every batch.
        here: how batches are computed on the event loop; None where none are.

    Attributes:
        computing: batches that are being computed now.
    """

    def __init__(
        self,
        compute: Callable[[list[Job]], Steps[Sequence[Result | Exception]]],
        limits: Limits,
        observer: Observer | None = None,
        here: Here[Job, Result] | None = None,
    ) -> None:
        self.computing = 0
        self._compute = compute
        self._limits = limits
        self._observer: Observer = observer or Unobserved()
        self._queue: FairQueue[Waiting[Job, Result]] = FairQueue()
        self._threads = ThreadPoolExecutor(limits.compute_threads, thread_name_prefix="compute")
        self._next: asyncio.Handle | None = None
        self._under_way: list[Batch[Job, Result]] = []
        self._pace, self._last_end, self._rested = 0.0, 0.0, 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._here = here if limits.here_seconds else None
        self._usual: dict[int, float] = {}  # processor time of batches that may be computed here, by bits of their size

    @property
    def queue_depth(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    @property
    def most_under_way(self) -> float:
        """Plain requests that can be answered in time together."""
        return min(self._limits.max_queue, self._most_within(self._limits.deadline_seconds))

    async def submit(self, job: Job, deadline: float, *, flow: str = "", work: float = 1.0) -> Result:
        """The result of one job: what `enqueue` promises."""
        return await self.enqueue(job, deadline, flow=flow, work=work)

    def enqueue(self, job: Job, deadline: float, *, flow: str = "", work: float = 1.0) -> "asyncio.Future[Result]":
        """Promise the result of one job.

        Args:
            job: for `compute`.
            deadline: on the event loop's clock.
            flow: whose it is; all flows share the queue alike.
            work: what it costs, in plain requests.

        Raises:
            OverloadedError: the queue is full, or so long that it would not be computed in time.
            DeadlineError: (by the promise) it was not computed in time; what is left of it never will be.
        """
        loop = asyncio.get_running_loop()
        is_late = self._queue.work_ahead(flow) >= self._most_within(deadline - loop.time())
        if is_late or (len(self._queue) >= self._limits.max_queue and not self._make_room(flow, work)):
            self._observer.request_refused("overloaded")
            raise OverloadedError
        waiting: Waiting[Job, Result] = Waiting(job, loop.create_future(), flow, work, perf_counter(), deadline)
        self._queue.add(waiting, flow, work)
        self._watch(deadline)
        self._schedule()
        return waiting.result

    def close(self) -> None:
        """Let the threads end; call it when nothing is under way any more."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _most_within(self, seconds: float) -> float:
        """Work ahead of a request that has these seconds left, at most."""
        fewest = FEWEST * self._limits.max_batch
        return max(fewest, PATIENCE * seconds / self._pace) if self._pace else math.inf

    def _watch(self, deadline: float) -> None:
        """See to it that whoever waits past this moment is told: one timer for all, as they seldom do."""
        if self._alarm is not None and self._alarm.when() <= deadline:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._alarm, now = None, asyncio.get_running_loop().time()
        open_ones = [w for w in chain(self._queue, *self._under_way) if not w.result.done()]
        for waiting in open_ones:
            if waiting.deadline <= now:
                waiting.result.set_exception(DeadlineError())
                self._observer.request_refused("deadline")
        if left := [waiting.deadline for waiting in open_ones if waiting.deadline > now]:
            self._watch(min(left))

    def _schedule(self) -> None:
        if not self._queue or self.computing >= self._limits.compute_threads:
            return
        loop, seconds = asyncio.get_running_loop(), self._seconds_to_gather()
        if self._next is not None and (seconds or not isinstance(self._next, asyncio.TimerHandle)):
            return
        if self._next is not None:
            self._next.cancel()
        self._next = loop.call_later(seconds, self._begin) if seconds else loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Let what has come by now join the batch: what is to be read from sockets is, before it begins."""
        self._next = asyncio.get_running_loop().call_soon(self._begin)

    def _seconds_to_gather(self) -> float:
        if len(self._queue) >= self._limits.max_batch or self._queue.first.is_heavy:
            return 0.0
        gathered = self._queue.first.since + self._limits.gather_seconds if self.computing else 0.0
        return max(0.0, max(gathered, self._rested) - perf_counter())

    def _begin(self) -> None:
        self._next = None
        self._drop_abandoned()
        if not self._queue or self.computing >= self._limits.compute_threads:
            return
        batch = self._queue.take(self._limits.max_batch, self._limits.max_batch, lambda waiting: waiting.is_heavy)
        began = perf_counter()
        self.computing += 1
        self._under_way.append(batch)
        loop, here = asyncio.get_running_loop(), self._short(batch)
        if here is None:
            running = loop.run_in_executor(self._threads, self._advance, batch)
            running.add_done_callback(lambda done: self._end(batch, began, *_outcomes(done, len(batch)), rests=True))
        else:
            jobs = [waiting.job for waiting in batch]
            if (ready := _at_once(here, jobs)) is not None:
                self._end(batch, began, *self._computed(here, batch, lambda: ready))
                return
            prepared = loop.run_in_executor(self._threads, here.prepare, jobs)
            prepared.add_done_callback(lambda done: self._end(batch, began, *self._computed(here, batch, done.result)))
        self._schedule()

    def _advance(self, batch: "Batch[Job, Result]") -> "Timed[Outcomes[Result] | Paused[Outcomes[Result]]]":
        """Compute a batch, or one step of a heavy request; runs in a compute thread."""
        began = thread_time()
        steps = batch[0].steps or self._compute([waiting.job for waiting in batch])
        step = STEP if batch[0].is_heavy else math.inf
        found = advanced(steps, step, lambda: not all(waiting.result.done() for waiting in batch))
        spent = thread_time() - began
        self._note(batch, spent)
        return found, spent

    def _computed(
        self, here: Here[Job, Result], batch: "Batch[Job, Result]", prepared: Callable[[], Any]
    ) -> "Timed[Outcomes[Result]]":
        """Compute a batch on the event loop."""
        try:
            ready, began = prepared(), thread_time()
            found = here.compute([waiting.job for waiting in batch], ready)
            spent = thread_time() - began
            self._note(batch, spent)
            return found, spent
        except (Exception, asyncio.CancelledError) as failure:
            return _failed(failure, len(batch)), 0.0

    def _short(self, batch: "Batch[Job, Result]") -> Here[Job, Result] | None:
        """How a batch is computed on the event loop; None where it would take too long, or nobody knows."""
        usual = self._usual.get(len(batch).bit_length(), math.inf)
        return self._here if usual <= self._limits.here_seconds and self._may_be_here(batch) else None

    def _may_be_here(self, batch: "Batch[Job, Result]") -> bool:
        here = self._here
        return here is not None and all(one.work <= 1 and here.takes(one.job) for one in batch)

    def _note(self, batch: "Batch[Job, Result]", seconds: float) -> None:
        """Remember the processor time of a batch."""
        if self._may_be_here(batch):
            size = len(batch).bit_length()
            before = self._usual.get(size, seconds)
            self._usual[size] = before + NEWEST * (seconds - before)

    def _end(
        self,
        batch: "Batch[Job, Result]",
        began: float,
        outcomes: "Outcomes[Result] | Paused[Outcomes[Result]]",
        spent: float,
        *,
        rests: bool = False,
    ) -> None:
        self.computing -= 1
        self._under_way = [other for other in self._under_way if other is not batch]
        ended = perf_counter()
        if rests and self._limits.is_shared:
            self._rested = ended + spent * min(REST * (len(batch) - 1), LONGEST_REST)
        self._measure(batch, ended, outcomes)
        for waiting in batch:
            waiting.began, waiting.computing = waiting.began or began, waiting.computing + ended - began
        if isinstance(outcomes, Paused):
            self._put_back(batch, outcomes)
        else:
            waited = [waiting.began - waiting.since for waiting in batch]
            self._observer.batch_computed(waited, batch[0].computing, self.queue_depth)
            _tell(batch, outcomes)
            if batch[0].is_heavy:
                self._queue.ended()
        self._schedule()

    def _measure(
        self, batch: "Batch[Job, Result]", ended: float, outcomes: "Outcomes[Result] | Paused[Outcomes[Result]]"
    ) -> None:
        """Adjust the pace, if somebody was waiting when the batch before ended."""
        work = sum(waiting.work for waiting in batch) if batch[0].steps is None else min(batch[0].work, STEP)
        work = outcomes.work if isinstance(outcomes, Paused) else work
        if work and min(waiting.since for waiting in batch) < self._last_end:
            pace = (ended - self._last_end) / work
            self._pace += NEWEST * (pace - self._pace) if self._pace else pace
        self._last_end = ended

    def _put_back(self, batch: "Batch[Job, Result]", paused: "Paused[Outcomes[Result]]") -> None:
        """Let a heavy request wait for its next step; who gave up is dropped when the next batch begins."""
        waiting = batch[0]
        if not waiting.is_heavy:  # nobody in the batch waits any more
            return
        waiting.steps, waiting.work = paused.steps, max(LEAST_LEFT, waiting.work - paused.work)
        self._queue.put_back(waiting, waiting.flow, waiting.work, paused.work)

    def _drop_abandoned(self) -> None:
        """Whoever gave up, or was given up on, is not computed."""
        if any(waiting.result.done() for waiting in self._queue):
            self._queue.keep(lambda waiting: not waiting.result.done())

    def _make_room(self, flow: str, work: float) -> bool:
        """Whether there is room in a full queue: for one who has less in it than another, who gives way."""
        self._drop_abandoned()
        if len(self._queue) < self._limits.max_queue:
            return True
        last = self._queue.last_of_longest(flow, work)
        if last is None:
            return False
        last.result.set_exception(OverloadedError())
        self._observer.request_refused("overloaded")
        self._drop_abandoned()
        return True


def _tell(batch: "Batch[Job, Result]", outcomes: "Outcomes[Result]") -> None:
    for waiting, result in zip(batch, outcomes, strict=True):
        if waiting.result.done():
            continue
        if isinstance(result, Exception):
            waiting.result.set_exception(result)
        else:
            waiting.result.set_result(result)


def _at_once(here: Here[Job, Result], jobs: list[Job]) -> Any:
    """What `prepare` would find, where there is nothing to wait for; else None."""
    with suppress(Exception):  # what fails is tried again where it may take its time, and told from there
        return here.prepared(jobs)
    return None


def _outcomes(
    done: "asyncio.Future[Timed[Outcomes[Result] | Paused[Outcomes[Result]]]]", n: int
) -> "Timed[Outcomes[Result] | Paused[Outcomes[Result]]]":
    try:
        return done.result()
    except (Exception, asyncio.CancelledError) as failure:
        return _failed(failure, n), 0.0


def _failed(failure: BaseException, n: int) -> "Outcomes[Result]":
    return [failure if isinstance(failure, Exception) else DeadlineError() for _ in range(n)]
