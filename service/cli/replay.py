"""`recsys replay`: a list that a user saw, made again beside what was shown."""

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from service.http.replay import Replay

DIFFERENT, REFUSED = 1, 3
"""Exit statuses; 2 is a wrong call."""


def replay(
    request_id: Annotated[str, typer.Argument(help="Identity of the request, of its answer or header X-Request-ID.")],
    user: Annotated[
        str | None, typer.Option(help="Whose list, of a request for many users; all of them if none.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Directory of the bundle that answered, where it is kept elsewhere.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="URL of the event store (RECSYS_STORE).  [default: SQLite under RECSYS_HOME]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a list.")] = False,
) -> None:
    """Make a list again that was shown, and say whether it is identical.

    Exit status: 0 identical; 1 different; 3 it cannot be made again, as of a user who was erased.
    """
    from recsys_vae.errors import RecsysError
    from service.deployment.past_bundles import PastBundles
    from service.http.replay import Replayer, replayed
    from service.settings import read_settings
    from service.store.deployments import DeploymentTable
    from service.store.events import EventStore

    settings = read_settings(store=store)
    with closing(EventStore(settings.store_url)) as events:
        bundles = PastBundles(DeploymentTable(events.database), settings, {}, bundle)
        try:
            found = replayed(Replayer(events, bundles), request_id, user)
        except RecsysError as error:
            typer.echo(f"refused  {error}", err=True)
            raise typer.Exit(REFUSED) from error
    for one in found:
        typer.echo(json.dumps(_fields(one)) if as_json else _told(one))
    if not all(one.is_identical for one in found):
        raise typer.Exit(DIFFERENT)


def _fields(one: "Replay") -> dict[str, object]:
    return {
        "request_id": one.request_id,
        "user_id": one.user_id,
        "identical": one.is_identical,
        "first_difference": one.first_difference,
        "rounding_only": one.is_rounding,
        "shown": one.shown,
        "rebuilt": one.rebuilt,
    }


def _told(one: "Replay") -> str:
    from service import timestamps

    whose = "nobody by name" if one.user_id is None else f"user {one.user_id}"
    when = f"{timestamps.from_microseconds(one.answered_at):%Y-%m-%d %H:%M:%S} UTC"
    head = f"{one.request_id} for {whose}, {when}: {one.variant}, {one.model_version}, generation {one.generation}"
    return "\n".join([head, *_lists(one), f"  {verdict(one)}"])


def _lists(one: "Replay") -> list[str]:
    """Both lists, line by line, differences marked."""
    length = max(len(one.shown), len(one.rebuilt))
    shown, rebuilt = (list(ids) + [""] * (length - len(ids)) for ids in (one.shown, one.rebuilt))
    width = max(5, *map(len, shown)) if shown else 5
    rows = [
        f"  {place:>4}  {a:<{width}}  {'  ' if a == b else '<>'}  {b}".rstrip()
        for place, (a, b) in enumerate(zip(shown, rebuilt, strict=True), 1)
    ]
    return [f"        {'shown':<{width}}      made again", *rows]


def verdict(one: "Replay") -> str:
    """What came of it, in a sentence."""
    if one.is_identical:
        return f"Identical in {len(one.shown)} places."
    if one.is_rounding:
        return f"Different from place {one.first_difference} on, in the order of items with equal scores alone."
    return f"Different: place {one.first_difference} is the first."
