"""`recsys uplift`: how the variants fare, told at the terminal."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from recsys_vae.errors import EmptyDataError, UnknownNameError

if TYPE_CHECKING:
    from service.jobs.ab_test import Estimate, Outcome

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
) -> None:
    """Print the click-through of every variant, and how it differs from the first one's, with 95 % intervals.

    Users are the units: lists of one user are alike, and intervals allow for that.
    """
    from service.jobs.ab_test import Choice, count, outcomes
    from service.settings import read_settings
    from service.store.deployments import DeploymentTable
    from service.store.events import EventStore
    from service.timestamps import to_microseconds

    events = EventStore(read_settings(store=store).store_url)
    first, last = (None if moment is None else to_microseconds(moment) for moment in (since, until))
    tallies, in_several = count(events.database, Choice(first, last, event_type))
    active = DeploymentTable(events.database).active()
    events.close()
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
