"""`recsys uplift --watch`: the sequence so far, what it says, and an exit status that a scheduler can act on."""

from math import isfinite
from typing import TYPE_CHECKING

import typer

from service.experiments.confidence_sequence import Verdict

if TYPE_CHECKING:
    from service.experiments.live_plan import Wish
    from service.experiments.live_test import Findings, Look
    from service.store.database import Database
    from service.store.live_tests import Plan, Recorded

EXIT = {Verdict.BETTER: 0, Verdict.OPEN: 3, Verdict.WORSE: 4}
"""1 and 2 are what every command ends with that could not do its work, or was called in a wrong way."""


def watch(database: "Database", wish: "Wish") -> int:
    """Find or make the plan, print the sequence by it, and say with what to exit."""
    from service import timestamps
    from service.experiments.live_plan import find_or_record
    from service.experiments.live_test import look
    from service.store.deployments import DeploymentTable
    from service.store.live_tests import LiveTestTable

    now = timestamps.now()
    recorded = find_or_record(LiveTestTable(database), DeploymentTable(database), wish)
    found = look(database, recorded.plan, now)
    _tell_plan(recorded, is_new=recorded.created_at >= now, is_trial=wish.is_trial)
    _tell_looks(recorded.plan, found)
    typer.echo(_verdict(recorded.plan, found))
    return EXIT[found.verdict]


def _tell_plan(recorded: "Recorded", *, is_new: bool, is_trial: bool) -> None:
    plan = recorded.plan
    when = _moment(recorded.created_at)
    told = f"would be recorded {when}" if is_new and is_trial else f"recorded {when}"
    events = "all events" if plan.event_type is None else f"events {plan.event_type}"
    typer.echo(
        f"Plan {recorded.number}, {told}: {plan.challenger} against {plan.base} by {plan.kind}, {plan.metric}, "
        f"{events}, lists since {_moment(plan.since)}, "
        f"alpha {plan.alpha:g}, tuned for {100 * plan.effect:g} %, from {plan.least:,} users and clicks a side."
    )
    if plan.since < recorded.created_at:
        typer.echo("Its lists begin before it was recorded: it holds if nobody chose it by what they say.")


def _tell_looks(plan: "Plan", found: "Findings") -> None:
    figure = "credited clicks" if plan.kind == "interleaving" else plan.metric
    head = (
        "day",
        "until (UTC)",
        "users",
        f"{figure} {plan.base}",
        plan.challenger,
        "difference",
        "always-valid interval",
    )
    rows = [head, *(_row(plan, day, one) for day, one in enumerate(found.looks, 1))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(plan: "Plan", day: int, one: "Look") -> tuple[str, ...]:
    users = one.users[:1] if plan.kind == "interleaving" else one.users
    figures = [_figure(plan, value) for value in one.figures]
    difference = f"{100 * one.difference:+.2f} %" if isfinite(one.difference) else ""
    return (
        str(day),
        _moment(one.until).removesuffix(" UTC"),
        " + ".join(f"{number:,}" for number in users),
        *figures,
        difference,
        _interval(one),
    )


def _figure(plan: "Plan", value: float) -> str:
    if not isfinite(value):
        return ""
    if plan.kind == "interleaving":
        return f"{value:,.0f}"
    return f"{100 * value:.2f} %" if plan.metric == "click-through" else f"{value:.4f}"


def _interval(one: "Look") -> str:
    if not one.is_late_enough:
        return "too early"
    if not isfinite(one.half):
        return "unknown"
    return f"{100 * (one.difference - one.half):+.2f} to {100 * (one.difference + one.half):+.2f}"


def _verdict(plan: "Plan", found: "Findings") -> str:
    end = "" if found.ended_at is None else f" Something else is in service since {_moment(found.ended_at)}: it ended."
    if found.verdict is Verdict.OPEN or found.place is None:
        return f"Keep going: no interval leaves 0 out yet.{end}"
    day = found.place + 1
    if found.verdict is Verdict.BETTER:
        return f"Promote {plan.challenger}: it is better, as day {day} says.{end}"
    return f"Stop: {plan.challenger} is worse, as day {day} says.{end}"


def _moment(microseconds: int) -> str:
    from service import timestamps

    return f"{timestamps.from_microseconds(microseconds):%Y-%m-%d %H:%M} UTC"
