"""Popularity of an item over time: by the windows of the bundle, and by the events of the store, in bins of days."""

from dataclasses import dataclass
from typing import Final

from recsys_vae.bundles.item_lists import NEVER
from recsys_vae.pages.formatting import day_of
from service.ranking.served_model import Catalogue
from service.store.item_events import ItemEvents

BINS: Final = ((1, 60), (7, 420), (30, 3_600), (365, 0))
"""Days of a bin, and the longest span that has such bins; the last ones have any."""
MOST_BINS: Final = 130


@dataclass(frozen=True)
class Popularity:
    """How well known an item is.

    Attributes:
        users: that it was learned from.
        rank: by these, from 1; items with as many share one.
        recent_days: length of the recent window; 0 where the bundle has none.
        recent: events a day in it.
        baseline_days: length of the window before.
        baseline: events a day in that.
        age_days: since its first event, up to the latest of the training data; None where it has none or nobody knows.
    """

    users: int
    rank: int
    recent_days: float = 0.0
    recent: float = 0.0
    baseline_days: float = 0.0
    baseline: float = 0.0
    age_days: float | None = None

    @property
    def growth(self) -> float | None:
        """Relative change of events a day; None without a baseline."""
        return self.recent / self.baseline - 1 if self.baseline else None


def popularity_of(catalogue: Catalogue, row: int) -> Popularity:
    """Of an item of the bundle."""
    bundle = catalogue.chain.bundle
    users, rank = int(bundle.popularity[row]), 1 + int((bundle.popularity > bundle.popularity[row]).sum())
    lists = bundle.shelves.lists
    if lists.windows is None:
        return Popularity(users, rank)
    rules, windows = lists.rules, lists.windows
    age = float(windows.ages[row])
    return Popularity(
        users,
        rank,
        rules.recent_days,
        float(windows.recent[row]) / rules.recent_days,
        rules.baseline_days,
        float(windows.baseline[row]) / rules.baseline_days,
        None if age == NEVER else age,
    )


def binned(events: ItemEvents) -> tuple[int, list[str], list[float]]:
    """Days of a bin, first day of each bin, and events in it; the latest bins only, of a span that is too long."""
    if not events.days:
        return 1, [], []
    last = max(events.days)
    span = last - min(events.days) + 1
    width = next(days for days, longest in BINS if span <= longest or not longest)
    n = min(-(-span // width), MOST_BINS)
    first, counts = last - n * width + 1, [0.0] * n
    for day, count in events.days.items():
        if day >= first:
            counts[(day - first) // width] += count
    return width, [day_of(first + place * width) for place in range(n)], counts
