"""Comparison: challenger against champion on each slice, by a bootstrap paired over users."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipelines.promotion.limits import Limits
from pipelines.promotion.served_lists import ServedLists
from pipelines.promotion.slices import ALL_USERS, Slice
from recsys_vae.evaluation.bootstrap import Interval, paired_bootstrap
from recsys_vae.evaluation.metrics import Metric, parse_metric
from recsys_vae.evaluation.ranked_lists import is_of_users


class Verdict(StrEnum):
    """What an interval of the difference says, beside the tolerance."""

    BETTER = "better"
    NOT_WORSE = "not worse"
    UNDECIDED = "undecided"
    WORSE = "worse"
    TOO_FEW = "too few users"


@dataclass(frozen=True)
class SliceResult:
    """One metric on one slice.

    Attributes:
        name: of the slice.
        metric: its name.
        n_users: who were asked.
        champion: mean of the champion, or of popularity where there is none.
        challenger: mean of the challenger.
        low: lower end of the interval of the difference; None where there are too few users.
        high: upper end, likewise.
        confidence: of the interval.
        margin: how much worse is tolerated.
        verdict: what follows.
    """

    name: str
    metric: str
    n_users: int
    champion: float
    challenger: float
    low: float | None
    high: float | None
    confidence: float
    margin: float
    verdict: Verdict

    @property
    def is_overall(self) -> bool:
        """Whether it is of all users."""
        return self.name == ALL_USERS

    @property
    def difference(self) -> float:
        """Challenger minus champion."""
        return self.challenger - self.champion


def compare(
    slices: Sequence[Slice], champion: ServedLists, challenger: ServedLists, limits: Limits
) -> list[SliceResult]:
    """Every metric on every slice.

    Intervals of slices are Bonferroni's: with m of them, each has the confidence 1 - (1 - c) / m, so that a challenger
    that is nowhere worse is refused with a probability of at most (1 - c) / 2 for all slices together. The interval
    over all users is not widened: that it holds is asked for besides, not instead.

    Source: Dunn, Multiple Comparisons Among Means (1961).
    """
    metrics = [metric for metric in map(parse_metric, limits.metrics) if is_of_users(metric)]
    n_tests = len(metrics) * sum(len(s.users) >= limits.min_users for s in slices if s.name != ALL_USERS)
    widened = 1 - (1 - limits.confidence) / max(1, n_tests)
    return [
        _compare(one, metric, champion, challenger, limits, limits.confidence if one.name == ALL_USERS else widened)
        for one in slices
        for metric in metrics
    ]


def _compare(
    one: Slice, metric: Metric, champion: ServedLists, challenger: ServedLists, limits: Limits, confidence: float
) -> SliceResult:
    theirs, ours = (lists.values(metric, one.users, one.targets) for lists in (champion, challenger))
    tolerance = limits.tolerance if one.name == ALL_USERS else limits.slice_tolerance
    margin = tolerance * float(theirs.mean())
    interval = None
    if len(one.users) >= limits.min_users:
        interval = paired_bootstrap(ours, theirs, n_resamples=limits.resamples, confidence=confidence)
    return SliceResult(
        name=one.name,
        metric=metric.name,
        n_users=len(one.users),
        champion=float(theirs.mean()),
        challenger=float(ours.mean()),
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        confidence=confidence,
        margin=margin,
        verdict=judge(interval, margin),
    )


def judge(interval: Interval | None, margin: float) -> Verdict:
    """Worse: all of the interval lies below minus the margin. Not worse: none of it does."""
    if interval is None or not interval.is_known:
        return Verdict.TOO_FEW
    if interval.high < -margin:
        return Verdict.WORSE
    if interval.low < -margin:
        return Verdict.UNDECIDED
    return Verdict.BETTER if interval.low > 0 else Verdict.NOT_WORSE
