"""A day of the service's own metrics, kept in memory for the pages: a sample every so often in rings of a fixed size.

Counters and histograms are kept as what was added since the sample before, so that any stretch of time is a sum. What
is sampled are the metrics of all workers (`Metrics.families`), but the memory, which is that of this process. Nothing
here is on the way of a request.
"""

import logging
from asyncio import sleep
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import sysconf
from pathlib import Path
from threading import Lock
from time import time
from typing import Final

import numpy as np
import numpy.typing as npt
from anyio import to_thread
from prometheus_client import Metric

from service.observability.metrics import BUCKETS, Metrics

SECONDS: Final = 15.0
"""From one sample to the next."""
LENGTH: Final = int(24 * 3600 / SECONDS)
MOST_SERIES: Final = 192
"""Rings at most, whatever else comes is counted under `other`; those of latencies grow to 0.3 MB in a day."""
OTHER: Final = "other"
TIER, ROUTE, STATUS, REFUSED = "tier", "route", "status", "refused"
CACHE, STORE, QUEUE, UNDER_WAY, MEMORY = "cache", "store", "queue", "under way", "memory"
COUNTERS: Final = {
    "recsys_history_lookups": (CACHE, "result"),
    "recsys_store_errors": (STORE, "operation"),
    "recsys_queue_refused_requests": (REFUSED, "reason"),
}
"""Metric -> how its ring is named, and the label that tells its rings apart."""
GAUGES: Final = {"recsys_queue_depth": QUEUE, "recsys_requests_under_way": UNDER_WAY}

PLACES: Final = {bound: place for place, bound in enumerate((*BUCKETS, float("inf")))}

logger = logging.getLogger("recsys.service")

Array = npt.NDArray[np.float64]
Key = tuple[str, str]
"""Kind and label of a ring."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of time, cut into equal steps.

    Attributes:
        starts: of the steps, in seconds since 1970, ascending; shape (n,).
        seconds: of each step that samples cover; 0 where there is none; shape (n,).
        added: what counters and latencies grew by in each step; shapes (n,) and (n, buckets).
        gauges: the largest value in each step; NaN where there is none; shape (n,).
    """

    starts: Array
    seconds: Array
    added: Mapping[Key, Array]
    gauges: Mapping[str, Array]

    def count(self, kind: str, label: str) -> Array:
        """What a counter grew by in each step, or how many were timed; 0 for one that is not known."""
        found = self.added.get((kind, label), np.zeros(len(self.starts)))
        return found if found.ndim == 1 else found.sum(axis=1)

    def labels(self, kind: str) -> list[str]:
        """Of rings of a kind, those that grew the most first."""
        sizes = {label: float(added.sum()) for (one, label), added in self.added.items() if one == kind}
        return sorted((label for label, size in sizes.items() if size), key=lambda label: (-sizes[label], label))


class Day:
    """The last day.

    Args:
        length: samples that are kept.
    """

    def __init__(self, length: int = LENGTH) -> None:
        self._times, self._seconds = np.zeros(length), np.zeros(length)
        self._added: dict[Key, npt.NDArray[np.uint32]] = {}
        self._gauges: dict[str, npt.NDArray[np.float32]] = {}
        self._before: dict[Key, Array] | None = None
        self._last = 0.0
        self._next = 0
        self._lock = Lock()

    def take(self, families: Iterable[Metric], at: float, memory: float | None = None) -> None:
        """Take a sample; the first one only says where counters stand.

        Args:
            families: the metrics as they are now.
            at: now, in seconds since 1970.
            memory: of this process, in bytes; None where that is not known.
        """
        totals, gauges = _read(families)
        if memory is not None:
            gauges[MEMORY] = memory
        with self._lock:
            before, self._before = self._before, totals
            passed, self._last = at - self._last, at
            if before is None or passed <= 0:
                return
            place = self._next
            self._next = (place + 1) % len(self._times)
            self._times[place], self._seconds[place] = at, passed
            for ring in self._added.values():
                ring[place] = 0
            for key, total in totals.items():
                self._ring(key, total)[place] += np.maximum(total - before.get(key, 0), 0).astype(np.uint32)
            for name, value in gauges.items():
                self._gauges.setdefault(name, np.full(len(self._times), np.nan, np.float32))[place] = value

    def stretch(self, seconds: float, steps: int, until: float) -> Stretch:
        """The last seconds until a moment, in so many steps, which begin at round times."""
        width = seconds / steps
        end = np.ceil(until / width) * width
        starts = end - seconds + width * np.arange(steps)
        with self._lock:
            middles = self._times - self._seconds / 2
            inside = np.flatnonzero((self._times > 0) & (middles >= starts[0]) & (middles < end))
            inside = inside[np.argsort(middles[inside], kind="stable")]
            step = ((middles[inside] - starts[0]) / width).astype(np.int64)
            ends = np.searchsorted(step, np.arange(steps), side="right")
            return Stretch(
                starts,
                _summed(ends, self._seconds[inside]),
                {key: _summed(ends, ring[inside]) for key, ring in self._added.items()},
                {name: _largest(step, ring[inside], steps) for name, ring in self._gauges.items()},
            )

    def _ring(self, key: Key, total: Array) -> npt.NDArray[np.uint32]:
        if key not in self._added and len(self._added) >= MOST_SERIES:
            key = (key[0], OTHER)
        if key not in self._added:
            self._added[key] = np.zeros((len(self._times), *total.shape), np.uint32)
        return self._added[key]


async def keep(day: Day, metrics: Metrics) -> None:
    """Take samples again and again, until cancelled; beside the event loop."""
    while True:
        try:
            await to_thread.run_sync(lambda: day.take(metrics.families(), time(), memory_bytes()))
        except Exception:
            logger.exception("The pages miss a sample of the metrics.")
        await sleep(SECONDS)


def quantile(counts: Array, share: float) -> float | None:
    """The number of seconds that a share of the requests took at most; None for none.

    Within a bucket times count as evenly spread; beyond the last bound, that is what is said (as Prometheus does).

    Args:
        counts: requests by bucket of `BUCKETS`, and beyond.
        share: from 0 to 1.
    """
    total = float(counts.sum())
    if not total:
        return None
    upto = np.cumsum(counts)
    place = int(np.searchsorted(upto, share * total))
    if place >= len(BUCKETS):
        return BUCKETS[-1]
    low, within = (BUCKETS[place - 1], float(upto[place - 1])) if place else (0.0, 0.0)
    return low + (BUCKETS[place] - low) * (share * total - within) / float(counts[place])


def memory_bytes() -> float | None:
    """Resident memory of this process; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return float(pages * sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, IndexError):
        return None


def _read(families: Iterable[Metric]) -> tuple[dict[Key, Array], dict[str, float]]:
    """Counters as they stand, and gauges."""
    totals: dict[Key, Array] = {}
    gauges: dict[str, float] = {}
    for family in families:
        if family.name == "recsys_request_seconds":
            _read_latencies(family, totals)
        elif family.name in COUNTERS:
            kind, label = COUNTERS[family.name]
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    _add(totals, (kind, sample.labels[label]), np.array(sample.value))
        elif family.name in GAUGES:
            gauges[GAUGES[family.name]] = sum(sample.value for sample in family.samples)
    return totals, gauges


def _read_latencies(family: Metric, totals: dict[Key, Array]) -> None:
    upto: dict[tuple[str, str, str], list[float]] = {}
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            labels = sample.labels
            key = labels["route"], labels["status"], labels["tier"]
            counts = upto.get(key) or upto.setdefault(key, [0.0] * len(PLACES))
            counts[PLACES[float(labels["le"])]] += sample.value  # several methods may share a route
    for (route, status, tier), counts in upto.items():
        timed = np.diff(counts, prepend=0)
        answered = np.array(counts[-1])
        kind = f"{status[:1]}xx" if status != "0" else "left"
        _add(totals, (ROUTE, route), timed)
        _add(totals, (STATUS, kind), answered)
        if kind in ("4xx", "5xx"):
            _add(totals, (f"{ROUTE} {kind}", route), answered)
        if tier:
            _add(totals, (TIER, tier), timed)


def _add(totals: dict[Key, Array], key: Key, found: Array) -> None:
    totals[key] = totals[key] + found if key in totals else found


def _summed(ends: npt.NDArray[np.int64], found: npt.NDArray[np.generic]) -> Array:
    """Sums of consecutive rows, each up to where one of the ends is."""
    upto = np.zeros((len(found) + 1, *found.shape[1:]))
    np.cumsum(found, axis=0, out=upto[1:])
    return np.diff(upto[np.concatenate([[0], ends])], axis=0)


def _largest(step: npt.NDArray[np.int64], found: npt.NDArray[np.float32], steps: int) -> Array:
    largest = np.full(steps, np.nan)
    np.fmax.at(largest, step, found)
    return largest
