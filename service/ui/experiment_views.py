"""Views of experiments: how the variants fare, what live tests say by now, guard rails, and how long still."""

from dataclasses import dataclass
from math import isfinite
from typing import Final

from markupsafe import Markup

from recsys_vae.errors import EmptyDataError
from recsys_vae.pages import charts
from service import timestamps
from service.deployment.variants import VariantSet
from service.experiments.ab_test import Choice, Outcome, Preference, count, outcomes, preference
from service.experiments.confidence_sequence import Verdict
from service.experiments.guard_rails import Rail, empty_lists, sample_ratio, several_variants
from service.experiments.live_plan import Wish, find_or_record
from service.experiments.live_test import Findings, look
from service.experiments.time_left import days_left
from service.store.database import Database
from service.store.deployments import DeploymentTable
from service.store.live_tests import LiveTestTable, Recorded

MOST_TESTS: Final = 5
"""Live tests that are shown, the latest."""


@dataclass(frozen=True)
class Test:
    """A live test as a page shows it.

    Attributes:
        recorded: its plan; one that is not written down yet has no findings that count.
        is_recorded: whether it is.
        found: what it says by now.
        verdict: the same in a sentence.
        chart: of the difference day by day, in percent, with its always-valid interval.
        days_left: until the difference that the plan is tuned for is likely to be found; None where nothing tells.
    """

    recorded: Recorded
    is_recorded: bool
    found: Findings
    verdict: str
    chart: Markup
    days_left: int | None


@dataclass(frozen=True)
class View:
    """All of it.

    Attributes:
        counted_at: in microseconds since 1970, UTC.
        since: first moment of the lists that count in `outcomes` and `rails`; of the deployment in service.
        outcomes: of each variant, the first in service first.
        preferences: of interleaved lists.
        rails: what says that the comparison is broken.
        tests: the latest first.
    """

    counted_at: int
    since: int
    outcomes: tuple[Outcome, ...]
    preferences: tuple[Preference, ...]
    rails: tuple[Rail, ...]
    tests: tuple[Test, ...]


def view(database: Database, variant_set: VariantSet) -> View:
    """Count all of it.

    Raises:
        UnavailableError: the store does not answer.
    """
    now, deployments = timestamps.now(), DeploymentTable(database)
    since = _since(deployments)
    choice = Choice(since)
    tallies, in_several = count(database, choice)
    names = [one.name for one in variant_set.variants if one.name in tallies]
    first = names[0] if names else min(tallies, default="")
    return View(
        now,
        since,
        tuple(outcomes(tallies, first)) if tallies else (),
        tuple(preference(database, name, choice) for name in sorted(tallies) if name.count("+") == 1),
        (
            sample_ratio(
                {name: len(tally.shown) for name, tally in sorted(tallies.items())},
                {one.name: share for one, share in variant_set.assignments},
            ),
            several_variants(list(tallies.values()), in_several),
            *empty_lists(database, since),
        ),
        tuple(_test(database, one, now, is_recorded=known) for one, known in _plans(database, deployments)),
    )


def _since(deployments: DeploymentTable) -> int:
    """When what is in service was put there; later deployments that answer alike do not count."""
    began: int | None = None
    plan = None
    for one in reversed(deployments.from_generation(0)):
        if plan is not None and not one.plan.serves_as(plan):
            break
        began, plan = one.created_at, one.plan
    return began or 0


def _plans(database: Database, deployments: DeploymentTable) -> list[tuple[Recorded, bool]]:
    """Those on record, and the one that looking at what is in service would make; the latest first."""
    tests = LiveTestTable(database)
    known = tests.all()
    found = [(one, True) for one in reversed(known[-MOST_TESTS:])]
    try:
        current = find_or_record(tests, deployments, Wish(is_trial=True))
    except EmptyDataError:
        return found
    is_known = any(one.number == current.number for one in known)
    return found if is_known else [(current, False), *found]


def _test(database: Database, recorded: Recorded, now: int, *, is_recorded: bool) -> Test:
    plan, found = recorded.plan, look(database, recorded.plan, now)
    last = found.looks[-1] if found.looks else None
    left = None
    if last is not None and found.verdict is Verdict.OPEN and found.ended_at is None:
        left = days_left(len(found.looks), last.half, plan.effect, plan.alpha, plan.effect)
    return Test(recorded, is_recorded, found, _verdict(recorded, found), _chart(recorded, found), left)


def _chart(recorded: Recorded, found: Findings) -> Markup:
    days = [f"day {place}" for place in range(1, len(found.looks) + 1)]
    known = [one.is_late_enough and isfinite(one.half) for one in found.looks]
    values = [100 * one.difference if isfinite(one.difference) else None for one in found.looks]
    low, high = (
        [
            100 * (one.difference + sign * one.half) if is_known else None
            for one, is_known in zip(found.looks, known, strict=True)
        ]
        for sign in (-1, 1)
    )
    plan = recorded.plan
    title = f"{plan.challenger} against {plan.base}, difference in percent"
    nothing: list[float | None] = [0.0] * len(days)
    return charts.line(
        title, days, [charts.Series("difference", values, low, high), charts.Series("no difference", nothing)]
    )


def _verdict(recorded: Recorded, found: Findings) -> str:
    challenger = recorded.plan.challenger
    if found.verdict is Verdict.BETTER and found.place is not None:
        return f"{challenger} is better, as day {found.place + 1} says: promote it."
    if found.verdict is Verdict.WORSE and found.place is not None:
        return f"{challenger} is worse, as day {found.place + 1} says: stop."
    if not found.looks:
        return "No day has ended since the test began."
    return "Open: no interval leaves 0 out yet."
