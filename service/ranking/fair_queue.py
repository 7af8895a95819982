"""Fair queue: what waits is taken so that every flow gets its share of the work, whoever sends how much.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996). An entry of work w gets, when it comes,

    start  = max(virtual time, finish of the entry before it in its flow)
    finish = start + w

The smallest start is taken first, and is the virtual time from then on. One flow alone is first come, first served. An
entry that is put back when part of its work is done starts again that much later: those of other flows that came
meanwhile are before it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Generic, NamedTuple, TypeVar

Entry = TypeVar("Entry")


@dataclass(slots=True)
class Flow:
    """One of those who share.

    Attributes:
        finish: virtual time at which all of its work is done.
        work: of its entries that wait.
    """

    finish: float = 0.0
    work: float = 0.0


class Queued(NamedTuple, Generic[Entry]):
    """An entry in its place."""

    start: float
    number: int
    flow: str
    work: float
    entry: Entry


class FairQueue(Generic[Entry]):
    """Entries that wait, by flow. Flows are forgotten when nothing waits any more, nor is to be put back."""

    def __init__(self) -> None:
        self._heap: list[Queued[Entry]] = []
        self._flows: dict[str, Flow] = {}
        self._now = 0.0
        self._numbers = count()
        self._n_under_way = 0

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Entry]:
        return (queued.entry for queued in self._heap)

    @property
    def first(self) -> Entry:
        """What is taken next; there must be something."""
        return self._heap[0].entry

    @property
    def work(self) -> float:
        """All that waits."""
        return sum(flow.work for flow in self._flows.values())

    def work_ahead(self, flow: str) -> float:
        """What would be taken before an entry that came to this flow now."""
        if not self._heap:
            return 0.0
        own = self._flows.get(flow)
        start = self._now if own is None else max(self._now, own.finish)
        # A flow in which something waits has no gaps: its first start is its finish less its work.
        return sum(min(other.work, max(0.0, start - other.finish + other.work)) for other in self._flows.values())

    def add(self, entry: Entry, flow: str, work: float) -> None:
        """Let an entry wait."""
        self._put(next(self._numbers), entry, flow, work)

    def take(self, most: int, work: float, is_alone: Callable[[Entry], bool] | None = None) -> list[Entry]:
        """The next entries: one, and more up to `most` and this work in all.

        One that `is_alone` comes alone, and is under way until it is `put_back` or `ended`.
        """
        if self._heap and is_alone is not None and is_alone(self.first):
            most, self._n_under_way = 1, self._n_under_way + 1
        taken: list[Entry] = []
        while self._heap and len(taken) < most and (not taken or self._heap[0].work <= work):
            if taken and is_alone is not None and is_alone(self.first):
                break
            queued = heappop(self._heap)
            taken.append(queued.entry)
            work -= queued.work
            self._now = queued.start
            self._flows[queued.flow].work -= queued.work
        self._forget_flows()
        return taken

    def put_back(self, entry: Entry, flow: str, work: float, done: float) -> None:
        """Let an entry that was taken alone wait again, with the work that is left of it; this much was done."""
        self._n_under_way -= 1
        own, start = self._flows.setdefault(flow, Flow()), self._now + done
        own.finish, own.work = max(own.finish, start + work), own.work + work
        heappush(self._heap, Queued(start, next(self._numbers), flow, work, entry))

    def ended(self) -> None:
        """An entry that was taken alone has no work left."""
        self._n_under_way -= 1
        self._forget_flows()

    def keep(self, is_kept: Callable[[Entry], bool]) -> None:
        """Let go of all other entries; the work that they would have been is not charged to their flows."""
        kept = [queued for queued in sorted(self._heap) if is_kept(queued.entry)]
        if len(kept) == len(self._heap):
            return
        self._heap = []
        for flow in self._flows.values():
            flow.finish, flow.work = flow.finish - flow.work, 0.0
        for queued in kept:
            self._put(queued.number, queued.entry, queued.flow, queued.work)
        self._forget_flows()

    def last_of_longest(self, flow: str, work: float) -> Entry | None:
        """What came last in the flow with most work; None where that is not more than this flow has, with this work."""
        own = self._flows.get(flow)
        longest = max(self._flows, key=lambda name: self._flows[name].work)
        if self._flows[longest].work <= (own.work if own else 0.0) + work:
            return None
        return max(queued for queued in self._heap if queued.flow == longest).entry

    def _put(self, number: int, entry: Entry, flow: str, work: float) -> None:
        own = self._flows.setdefault(flow, Flow())
        start = max(self._now, own.finish)
        own.finish, own.work = start + work, own.work + work
        heappush(self._heap, Queued(start, number, flow, work, entry))

    def _forget_flows(self) -> None:
        if not self._heap and not self._n_under_way:
            self._flows.clear()
            self._now = 0.0
