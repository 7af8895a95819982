"""A live test: is the challenger better? Asked every day, by a plan that was written down when the asking began.

The sequence is counted from the store at every look: one interval for the end of each whole day since the plan's start.
Its verdict is that of the first interval without 0. Lists count until something else is put in service.
"""

from dataclasses import dataclass

import numpy as np

from service.experiments.confidence_sequence import BoolArray, Float64Array, Verdict, half_widths, verdict
from service.experiments.daily_counts import Window, clicked_lists, credited_clicks
from service.experiments.live_plan import ended_at
from service.experiments.user_sums import UserSums, relative_difference
from service.store.database import Database
from service.store.deployments import DeploymentTable
from service.store.live_tests import Plan

DAY = 24 * 60 * 60 * 1_000_000
"""In microseconds."""


@dataclass(frozen=True)
class Look:
    """What the end of a day says.

    Attributes:
        until: the moment, in microseconds since 1970, UTC.
        users: of base and challenger; of an interleaving, those with credited clicks, twice.
        figures: their rates; of an interleaving, the clicks credited to each.
        difference: relative; not a number where there is none.
        half: of its interval; infinite where it is unknown.
        is_late_enough: whether there are users and clicks enough to go by it.
    """

    until: int
    users: tuple[int, int]
    figures: tuple[float, float]
    difference: float
    half: float
    is_late_enough: bool


@dataclass(frozen=True)
class Findings:
    """What a test says by now.

    Attributes:
        looks: one a day, the first day first.
        verdict: of the first look that has one.
        place: of that look among all; None while there is none.
        ended_at: when something else was put in service, in microseconds since 1970, UTC; None where nothing was.
    """

    looks: tuple[Look, ...]
    verdict: Verdict
    place: int | None
    ended_at: int | None


@dataclass(frozen=True)
class Estimates:
    """Of all looks, one entry each; attributes as those of `Look`."""

    users: tuple[Float64Array, Float64Array]
    figures: tuple[Float64Array, Float64Array]
    differences: Float64Array
    variances: Float64Array
    is_late_enough: BoolArray


def look(database: Database, plan: Plan, now: int) -> Findings:
    """All looks up to a moment, and what they say.

    Raises:
        UnavailableError: the store does not answer.
    """
    end = ended_at(DeploymentTable(database), plan)
    days = max(0, now - plan.since) // DAY
    if end is not None:
        days = min(days, -(-max(0, end - plan.since) // DAY))
    last = plan.since + days * DAY
    until = last if end is None else min(end, last)
    found = _estimates(database, plan, until, days)
    halves = half_widths(found.variances, plan.alpha, plan.effect)
    said, place = verdict(found.differences, halves, found.is_late_enough)
    return Findings(_looks(plan, found, halves), said, place, end)


def split_estimates(base: UserSums, challenger: UserSums, least: int) -> Estimates:
    """Of users who were split over two variants; there must be `least` users and, were both equal, clicks of each."""
    differences, variances = relative_difference(base, challenger)
    rate = (base + challenger).rate
    users = np.minimum(base.users, challenger.users)
    clicks = rate * np.minimum(base.x, challenger.x)
    figures = (base.rate, challenger.rate)
    is_late_enough = (users >= least) & (clicks >= least)
    return Estimates((base.users, challenger.users), figures, differences, variances, is_late_enough)


def interleaved_estimates(credited: UserSums, least: int) -> Estimates:
    """Of interleaved lists, by what `credited_clicks` gives; there must be `least` users and clicks a side."""
    base, challenger = (credited.x - credited.y) / 2, (credited.x + credited.y) / 2
    is_late_enough = (credited.users >= least) & (credited.x >= 2 * least)
    users = (credited.users, credited.users)
    return Estimates(users, (base, challenger), credited.rate, credited.variance, is_late_enough)


def _estimates(database: Database, plan: Plan, until: int, days: int) -> Estimates:
    if plan.kind == "interleaving":
        names = (f"{plan.base}+{plan.challenger}", f"{plan.challenger}+{plan.base}")
        window = Window(names, plan.since, until, plan.event_type, DAY, days)
        return interleaved_estimates(credited_clicks(database, window, plan.base, plan.challenger), plan.least)
    window = Window((plan.base, plan.challenger), plan.since, until, plan.event_type, DAY, days)
    sums = clicked_lists(database, window, per_user=plan.metric == "clicked-per-user")
    return split_estimates(sums[plan.base], sums[plan.challenger], plan.least)


def _looks(plan: Plan, found: Estimates, halves: Float64Array) -> tuple[Look, ...]:
    return tuple(
        Look(
            plan.since + (day + 1) * DAY,
            (int(found.users[0][day]), int(found.users[1][day])),
            (float(found.figures[0][day]), float(found.figures[1][day])),
            float(found.differences[day]),
            float(halves[day]),
            bool(found.is_late_enough[day]),
        )
        for day in range(len(halves))
    )
