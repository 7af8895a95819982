"""`recsys uplift`: how the variants fare, told at the terminal."""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from recsys_vae.errors import ConfigError, EmptyDataError, UnknownNameError

if TYPE_CHECKING:
    from service.experiments.ab_test import Estimate, Outcome, Preference

HEAD = ("variant", "users", "lists", "clicked", "click-through", "95 % interval", "difference", "95 % interval")


def uplift(
    store: Annotated[
        str | None, typer.Option(help="URL of the event store (RECSYS_STORE).  [default: SQLite under RECSYS_HOME]")
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="First moment of a list that counts (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="The moment after the last (UTC).")] = None,
    event_type: Annotated[
        str | None, typer.Option(help="Type of the events that count as clicks; all if none.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Variant that the others are held against; the first in service if none.")
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Look day by day at two variants, by a plan that is recorded at the first look. Exit status: 0 "
            "promote the challenger, 3 keep going, 4 stop, it is worse.",
        ),
    ] = False,
    challenger: Annotated[
        str | None, typer.Option(help="With --watch: the other variant; the other one in service if none.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="With --watch: click-through or clicked-per-user.  [default: click-through]"),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="With --watch: largest chance of deciding at any look if both are equal.  [default: 0.05]"),
    ] = None,
    effect: Annotated[
        float | None, typer.Option(help="With --watch: relative difference to tune for.  [default: 0.03]")
    ] = None,
    least: Annotated[
        int | None,
        typer.Option(help="With --watch: users and clicks of each variant before anything is decided.  [default: 100]"),
    ] = None,
    new_plan: Annotated[
        bool, typer.Option("--new-plan", help="With --watch: begin another test, of lists from now on.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --watch: record no plan.")] = False,
) -> None:
    """Print the click-through of every variant, and how it differs from the first one's, with 95 % intervals.

    Users are the units: lists of one user are alike, and intervals allow for that. These intervals hold for one look;
    to look again and again, take --watch.
    """
    from service.cli import live_test
    from service.experiments.ab_test import Choice, count, outcomes, preference
    from service.experiments.live_plan import Wish
    from service.settings import read_settings
    from service.store.deployments import DeploymentTable
    from service.store.events import EventStore
    from service.timestamps import to_microseconds

    events = EventStore(read_settings(store=store).store_url)
    first, last = (None if moment is None else to_microseconds(moment) for moment in (since, until))
    if watch:
        if until is not None:
            raise ConfigError("--watch looks at all days up to now: leave --until out.")
        wish = Wish(against, challenger, first, metric, event_type, alpha, effect, least, new_plan, dry_run)
        with closing(events):
            status = live_test.watch(events.database, wish)
        raise typer.Exit(status)
    alone = {"--challenger": challenger, "--metric": metric, "--alpha": alpha, "--effect": effect, "--least": least}
    if chosen := [name for name, value in alone.items() if value is not None]:
        raise ConfigError(f"{', '.join(chosen)}: only with --watch.")
    choice = Choice(first, last, event_type)
    with closing(events):
        tallies, in_several = count(events.database, choice)
        active = DeploymentTable(events.database).active()
        preferences = [preference(events.database, name, choice) for name in tallies if "+" in name]
    if not tallies:
        raise EmptyDataError(
            "The store holds no such lists: nothing to compare. They are recorded while several variants are in "
            "service (recsys serve --variant ...), or with --exposures on."
        )
    in_order = [] if active is None else [part.name for part in active.plan.parts]
    base = against or next((name for name in in_order if name in tallies), min(tallies))
    if base not in tallies:
        raise UnknownNameError("variant", base, tallies)
    _tell(outcomes(tallies, base), in_several)
    for found in preferences:
        typer.echo(_told(found))


def _told(found: "Preference") -> str:
    a, b = found.names
    told = (
        f"Interleaved {a}+{b}: of {sum(found.credited):,} credited clicks of {found.users:,} users, {a} has "
        f"{found.credited[0]:,} and {b} {found.credited[1]:,}"
    )
    if found.difference is None:
        return f"{told}."
    return f"{told}: {100 * found.difference.value:+.2f} % for {b}, 95 % interval {_interval(found.difference, '+')}."


def _tell(found: Sequence["Outcome"], in_several: int) -> None:
    rows = [HEAD, *(_row(one) for one in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *figures in rows:
        cells = (figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True))
        typer.echo("  ".join([name.ljust(widths[0]), *cells]).rstrip())
    if any(one.is_thin for one in found):
        typer.echo("Fewer than 100 users or clicked lists in a variant: do not rely on its intervals.")
    if in_several:
        typer.echo(
            f"{in_several:,} users were shown lists of several variants, as after a change of weights: the variants "
            "are not independent then. Take the lists --since the last change."
        )


def _row(one: "Outcome") -> tuple[str, ...]:
    rate, difference = one.rate, one.difference
    return (
        one.name,
        f"{one.users:,}",
        f"{one.lists:,}",
        f"{one.clicked:,}",
        f"{100 * rate.value:.2f} %",
        _interval(rate, ""),
        "" if difference is None else f"{100 * difference.value:+.2f} points",
        "" if difference is None else _interval(difference, "+"),
    )


def _interval(estimate: "Estimate", sign: str) -> str:
    if estimate.interval is None:
        return "unknown"
    low, high = (f"{100 * end:{sign}.2f}" for end in estimate.interval)
    return f"{low} to {high}"
