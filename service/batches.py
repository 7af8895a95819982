"""Batcher: requests that come while others are computed are gathered and computed together, off the event loop.

    submit -> queue (bounded) -> batch -> compute thread -> each its own result

A request that finds a thread and the queue empty goes at once, with whatever came in the same turn of the event loop.
While a batch is computed the next one gathers: until it is full, a thread is free, and the oldest in it has waited
`gather_seconds` or no thread computes any more, whichever comes first.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Generic, Protocol, TypeVar

from service.errors import DeadlineError, OverloadedError

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Limits:
    """What an engine takes on.

    Attributes:
        compute_threads: batches that are computed at the same time.
        max_batch: requests in one batch.
        gather_seconds: longest time that a batch gathers while a thread is free and another computes.
        max_queue: requests that may wait; what comes on top is refused.
        deadline_seconds: time from a request's arrival to its answer, past which nobody is taken to wait for it.
    """

    compute_threads: int = 1
    max_batch: int = 64
    gather_seconds: float = 0.002
    max_queue: int = 1024
    deadline_seconds: float = 2.0


class Observer(Protocol):
    """Whoever wants to know how batches fare; called on the event loop."""

    def batch_computed(self, waited: Sequence[float], computing: float) -> None:
        """A batch was computed: the seconds that each of its requests had waited, and those that it took."""
        ...

    def request_refused(self, reason: str) -> None:
        """A request was turned away: `overloaded` or `deadline`."""
        ...


class Unobserved:
    """Nobody wants to know."""

    def batch_computed(self, waited: Sequence[float], computing: float) -> None:
        """Nothing."""

    def request_refused(self, reason: str) -> None:
        """Nothing."""


@dataclass(eq=False, slots=True)
class Waiting(Generic[Job, Result]):
    """A job in the queue."""

    job: Job
    result: "asyncio.Future[Result]"
    since: float


class Batcher(Generic[Job, Result]):
    """Gathers jobs into batches. Everything but `compute` runs on the event loop.

    Args:
        compute: a result or an error for each job of a batch, in order; called in a compute thread.
        limits: how many and how long.
        observer: told of every batch.

    Attributes:
        computing: batches that are being computed now.
    """

    def __init__(
        self,
        compute: Callable[[list[Job]], Sequence[Result | Exception]],
        limits: Limits,
        observer: Observer | None = None,
    ) -> None:
        self.computing = 0
        self._compute = compute
        self._limits = limits
        self._observer: Observer = observer or Unobserved()
        self._queue: deque[Waiting[Job, Result]] = deque()
        self._threads = ThreadPoolExecutor(limits.compute_threads, thread_name_prefix="compute")
        self._next: asyncio.Handle | None = None

    @property
    def queue_depth(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    async def submit(self, job: Job, deadline: float) -> Result:
        """The result of one job.

        Args:
            job: for `compute`.
            deadline: on the event loop's clock.

        Raises:
            OverloadedError: the queue is full.
            DeadlineError: it was not computed in time; if it had not begun, it never will be.
        """
        if len(self._queue) >= self._limits.max_queue:
            self._drop_abandoned()
        if len(self._queue) >= self._limits.max_queue:
            self._observer.request_refused("overloaded")
            raise OverloadedError
        waiting = Waiting[Job, Result](job, asyncio.get_running_loop().create_future(), perf_counter())
        self._queue.append(waiting)
        self._schedule()
        try:
            async with asyncio.timeout_at(deadline):
                return await waiting.result
        except TimeoutError:
            self._observer.request_refused("deadline")
            raise DeadlineError from None

    def close(self) -> None:
        """Let the threads end; call it when nothing is under way any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _schedule(self) -> None:
        if not self._queue or self.computing >= self._limits.compute_threads:
            return
        loop, seconds = asyncio.get_running_loop(), self._seconds_to_gather()
        if self._next is not None and (seconds or not isinstance(self._next, asyncio.TimerHandle)):
            return
        if self._next is not None:
            self._next.cancel()
        self._next = loop.call_later(seconds, self._begin) if seconds else loop.call_soon(self._begin)

    def _seconds_to_gather(self) -> float:
        if not self.computing or len(self._queue) >= self._limits.max_batch:
            return 0.0
        return max(0.0, self._queue[0].since + self._limits.gather_seconds - perf_counter())

    def _begin(self) -> None:
        self._next = None
        self._drop_abandoned()
        if not self._queue or self.computing >= self._limits.compute_threads:
            return
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._limits.max_batch))]
        began = perf_counter()
        self.computing += 1
        running = asyncio.get_running_loop().run_in_executor(self._threads, self._compute, [w.job for w in batch])
        running.add_done_callback(lambda done: self._end(batch, began, done))
        self._schedule()

    def _end(
        self, batch: list[Waiting[Job, Result]], began: float, done: "asyncio.Future[Sequence[Result | Exception]]"
    ) -> None:
        self.computing -= 1
        self._observer.batch_computed([began - waiting.since for waiting in batch], perf_counter() - began)
        for waiting, result in zip(batch, _outcomes(done, len(batch)), strict=True):
            if waiting.result.done():
                continue
            if isinstance(result, Exception):
                waiting.result.set_exception(result)
            else:
                waiting.result.set_result(result)
        self._schedule()

    def _drop_abandoned(self) -> None:
        """Whoever gave up, or was given up on, is not computed."""
        if any(waiting.result.done() for waiting in self._queue):
            self._queue = deque(waiting for waiting in self._queue if not waiting.result.done())


def _outcomes(done: "asyncio.Future[Sequence[Result | Exception]]", n: int) -> Sequence[Result | Exception]:
    try:
        return done.result()
    except (Exception, asyncio.CancelledError) as failure:
        return [failure if isinstance(failure, Exception) else DeadlineError() for _ in range(n)]
