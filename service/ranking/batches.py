"""Batches: how many requests are computed together, where, and who is told of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Limits:
    """What an engine takes on.

    Attributes:
        compute_threads: batches that are computed at the same time.
        max_batch: requests in one batch, and its work in plain requests.
        gather_seconds: longest time that a batch gathers while a thread is free and another computes.
        max_queue: requests that may wait; what comes on top is refused.
        deadline_seconds: time from a request's arrival to its answer, past which nobody is taken to wait for it.
        is_shared: whether many ask, so that more may come where some have; else one does, who gets all there is.
        here_seconds: processor time up to which a batch is computed on the event loop; 0: none is.
    """

    compute_threads: int = 1
    max_batch: int = 64
    gather_seconds: float = 0.002
    max_queue: int = 1024
    deadline_seconds: float = 2.0
    is_shared: bool = True
    here_seconds: float = 0.0


class Here(NamedTuple, Generic[Job, Result]):
    """How batches are computed on the event loop.

    Attributes:
        takes: whether a job, of the work of one plain request, may be.
        prepare: whatever may have to wait for something; run in a compute thread.
        compute: a result or an error for each job, by what `prepare` has found.
        prepared: what `prepare` would find, where there is nothing to wait for; else None, and that is run.
    """

    takes: Callable[[Job], bool]
    prepare: Callable[[list[Job]], Any]
    compute: Callable[[list[Job], Any], Sequence[Result | Exception]]
    prepared: Callable[[list[Job]], Any] = lambda jobs: None


class Observer(Protocol):
    """Whoever wants to know how batches fare; called on the event loop."""

    def batch_computed(self, waited: Sequence[float], computing: float, still_waiting: int) -> None:
        """A batch was computed: the seconds that each of its requests had waited, those that it took, and how many
        requests wait now.
        """  # fmt: skip
        ...

    def request_refused(self, reason: str) -> None:
        """A request was turned away: `overloaded` or `deadline`."""
        ...


class Unobserved:
    """Nobody wants to know."""

    def batch_computed(self, waited: Sequence[float], computing: float, still_waiting: int) -> None:
        """Nothing."""

    def request_refused(self, reason: str) -> None:
        """Nothing."""
