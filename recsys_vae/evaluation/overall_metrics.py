"""Metrics of all lists together: coverage, concentration, and how far lists lean to what is popular."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys_vae.evaluation.ranked_lists import LOWER, NEITHER, Float64Array, RankedLists, Tally

GROUPS = 20
"""Of users, for the jackknife."""


@dataclass(frozen=True)
class Coverage:
    """Share of the catalogue among the first k of at least one user: a figure of all lists together, not of a user.

    It has no standard error: fewer users always show fewer items.
    """

    k: int
    family: ClassVar[str] = "coverage"
    better: ClassVar[int] = NEITHER

    @property
    def name(self) -> str:
        """`coverage@k`."""
        return f"coverage@{self.k}"

    def tally(self, n_items: int) -> Tally:
        """A new count."""
        return _Shown(self.k, np.zeros(n_items, dtype=np.bool_))


@dataclass(frozen=True)
class Gini:
    """How unequally the places of all lists are dealt among the items: 0 alike, 1 all to one item.

    G = sum over j of (2j - n - 1) p(j) / (n - 1), p ascending shares of all places, n the catalogue. Its standard
    error is a delete-a-group jackknife over 20 groups of users.

    Source: Shani & Gunawardana, Evaluating Recommendation Systems (2011), section 3.3; Kott, The Delete-a-Group
    Jackknife (2001).
    """

    k: int
    family: ClassVar[str] = "gini"
    better: ClassVar[int] = NEITHER

    @property
    def name(self) -> str:
        """`gini@k`."""
        return f"gini@{self.k}"

    def tally(self, n_items: int) -> Tally:
        """A new count."""
        return _Exposure(self.k, np.zeros((GROUPS, n_items), dtype=np.int32))


@dataclass(frozen=True)
class PopularityLift:
    """(L - H) / H: L the mean popularity of the items in a list, H of those in a history, both averaged over users.

    0 where lists are as popular as what users take, above where they lean to bestsellers. Popularity counts training
    users. Users without a history or a list are left out. The standard error is that of a ratio of means.

    Source: Abdollahpouri, Mansoury, Burke & Mobasher, The Connection Between Popularity Bias, Calibration, and
    Fairness in Recommendation (2020), equation 3.
    """

    k: int
    family: ClassVar[str] = "popularity-lift"
    better: ClassVar[int] = LOWER

    @property
    def name(self) -> str:
        """`popularity-lift@k`."""
        return f"popularity-lift@{self.k}"

    def tally(self, n_items: int) -> Tally:
        """A new count."""
        del n_items
        return _Popularity(self.k)


@dataclass(frozen=True, eq=False)
class _Shown:
    k: int
    flags: NDArray[np.bool_]

    def add(self, lists: RankedLists) -> None:
        rows = lists.rows[:, : self.k]
        self.flags[rows[rows >= 0]] = True

    def result(self) -> tuple[float, float]:
        return float(self.flags.mean()), float("nan")


@dataclass(eq=False)
class _Exposure:
    k: int
    counts: NDArray[np.int32]
    n_users: int = 0

    def add(self, lists: RankedLists) -> None:
        rows = lists.rows[:, : self.k]
        groups = (self.n_users + np.arange(len(rows))) % GROUPS
        self.n_users += len(rows)
        filled = rows >= 0
        np.add.at(self.counts, (np.repeat(groups, filled.sum(axis=1)), rows[filled]), 1)

    def result(self) -> tuple[float, float]:
        total = self.counts.sum(axis=0, dtype=np.int64)
        if self.n_users < GROUPS:
            return gini(total), float("nan")
        without = np.array([gini(total - group) for group in self.counts])
        return gini(total), float(np.sqrt((GROUPS - 1) / GROUPS * ((without - without.mean()) ** 2).sum()))


@dataclass(eq=False)
class _Popularity:
    k: int
    of_lists: list[Float64Array] = field(default_factory=list)
    of_histories: list[Float64Array] = field(default_factory=list)

    def add(self, lists: RankedLists) -> None:
        popularity, histories = lists.facts.popularity, lists.known_histories
        rows = lists.rows[:, : self.k]
        listed = np.sum(popularity[rows], axis=1, where=rows >= 0), np.count_nonzero(rows >= 0, axis=1)
        flags = (histories > 0).astype(np.float64)
        known = flags @ popularity, np.asarray(flags.sum(axis=1)).ravel()
        kept = (listed[1] > 0) & (known[1] > 0)
        self.of_lists.append(listed[0][kept] / listed[1][kept])
        self.of_histories.append(known[0][kept] / known[1][kept])

    def result(self) -> tuple[float, float]:
        ratio, error = ratio_of_means(np.concatenate(self.of_lists), np.concatenate(self.of_histories))
        return ratio - 1, error


def gini(counts: NDArray[np.integer]) -> float:
    """Of how often each item is shown, shape (n_items,): 0 alike, 1 one item only; NaN where nothing is shown."""
    n, total = len(counts), counts.sum()
    if n < 2 or not total:
        return float("nan")
    places = 2 * np.arange(1, n + 1) - n - 1
    return float(places @ np.sort(counts) / total / (n - 1))


def ratio_of_means(above: Float64Array, below: Float64Array) -> tuple[float, float]:
    """mean(above) / mean(below) over independent units, and its standard error by the delta method.

    Var(R) = n / (n - 1) * sum_u (above_u - R below_u)^2 / (sum_u below_u)^2

    Args:
        above: shape (n,).
        below: of the same units, with a sum that is not 0; NaN comes back otherwise, and an error for n >= 2 only.

    Source: Deng, Knoblich & Lu, Applying the Delta Method in Metric Analytics (2018).
    """
    n, total = len(above), below.sum()
    if not n or not total:
        return float("nan"), float("nan")
    ratio = float(above.sum() / total)
    if n < 2:
        return ratio, float("nan")
    residuals = above - ratio * below
    return ratio, float(np.sqrt(n / (n - 1) * (residuals**2).sum()) / abs(total))
