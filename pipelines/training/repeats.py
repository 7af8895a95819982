"""What users of a dataset buy again: a repeat-purchase head learned from its events, for a bundle."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import EPOCH, read_manifest
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.columns import ITEM, TIMESTAMP, USER
from recsys_vae.data.ids import IdMap
from recsys_vae.data.purchases import Visits
from recsys_vae.errors import DataError
from recsys_vae.models.repeat import RepeatHead
from recsys_vae.recommender import FallbackChain

NEXT = {"train": "validation", "refit": "test"}
"""Window that follows each training part."""
MOST_SCORES = 1 << 24
"""Scores that are held to choose the temperature."""


@dataclass(frozen=True)
class Learned:
    """A head and what it was learned from.

    Attributes:
        head: it.
        users, purchases: how many.
        again: share of the last visits' items that their users had bought before.
        untimed: events that were left out, as they have no time.
        cutoff: time of the latest event, in ISO 8601.
    """

    head: RepeatHead
    users: int
    purchases: int
    again: float
    untimed: int
    cutoff: str


def learn_repeats(dataset: DatasetDir, bundle: Bundle, without: IdMap | None = None) -> Learned:
    """A head for the items of a bundle, from every event of a dataset that has a time.

    For a bundle that was trained on a split with windows of time, from those before the window that follows what it has
    learned from: so it can be measured there.

    The temperature is chosen on the last visits of users, drawn evenly, whose scores are the bundle's for what they
    bought before. A bundle that has learned from these visits is a little too sure of them; all models here encode
    histories, so what it knows of one user's visit is what it says of items.

    Args:
        without: users whose events do not count.

    Raises:
        DataError: no event has a time, or nobody bought anything again.
    """
    found, time, until = dataset.events(), pl.col(TIMESTAMP).dt.epoch("us"), _until(dataset, bundle)
    found = found if until is None else found.filter((time < until).fill_null(value=True))
    events = found.select(USER, ITEM, time).collect(engine="streaming")
    if without is not None and len(without):
        events = events.filter(~pl.col(USER).is_in(without.values.implode()))
    timed = events.drop_nulls(TIMESTAMP)
    if timed.is_empty():
        raise DataError(f"No event of {dataset.name} has a time: when users come back cannot be learned from it.")
    users = IdMap(timed[USER].unique().sort())
    visits = _visits(timed, users, bundle.items)
    head = RepeatHead(len(bundle.items))
    head.fit(visits)
    _calibrate(head, visits, bundle)
    before, last = visits.without_last()
    met = before.matrix().multiply(last.matrix()).count_nonzero() / max(len(last.users), 1)
    latest = EPOCH + timedelta(microseconds=int(timed[TIMESTAMP].to_numpy().max()))
    return Learned(head, len(users), len(visits.users), float(met), len(events) - len(timed), latest.isoformat())


def _until(dataset: DatasetDir, bundle: Bundle) -> int | None:
    """First moment, in microseconds since 1970, that the bundle of a split has not learned from; None where unknown."""
    origin = bundle.manifest.provenance
    name, _, part = origin.trained_on.removeprefix("split:").rpartition("/")
    if origin.dataset != dataset.name or name not in dataset.splits():
        return None
    moment = read_manifest(dataset, name).windows.get(NEXT.get(part, ""))
    return None if moment is None else (moment - EPOCH) // timedelta(microseconds=1)


def _visits(events: pl.DataFrame, users: IdMap, items: IdMap) -> Visits:
    rows = items.rows(events[ITEM])
    known = rows >= 0
    times = events[TIMESTAMP].to_numpy()
    return Visits.of_events(users.rows(events[USER])[known], rows[known], times[known], (len(users), len(items)))


def _calibrate(head: RepeatHead, visits: Visits, bundle: Bundle) -> None:
    before, last = visits.without_last()
    came_back = np.flatnonzero(np.diff(before.matrix().indptr))
    wanted = min(len(came_back), max(1, MOST_SCORES // len(bundle.items)))
    asked = came_back[np.linspace(0, len(came_back) - 1, wanted).astype(np.int64)] if wanted else came_back
    known = before.purchases(visits.last_days())
    some = known[asked]
    scores = FallbackChain(bundle).score(some.counts, order=_order(some.ages))
    head.calibrate(np.array(scores), some, last.matrix()[asked])


def _order(ages: csr_array) -> csr_array:
    """Places in time, above 0, the least recent the smallest, for models that go by order."""
    places = 1 + ages.data.max(initial=0) - ages.data
    return csr_array((places.astype(np.float32), ages.indices, ages.indptr), shape=ages.shape)
