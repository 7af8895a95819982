"""The service's verbs, mounted into `recsys` through the entry-point group `recsys.commands`."""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recsys_vae.errors import ConfigError
from service.cli import keys as key_commands
from service.cli import retention as retention_commands
from service.cli import settings_options
from service.cli.ab_test import uplift
from service.cli.campaign import campaign
from service.cli.impressions import export_impressions
from service.cli.load_history import Store, load_history
from service.cli.load_items import load_items
from service.cli.replay import replay
from service.cli.ui import ui

if TYPE_CHECKING:
    from service.server.worker_messages import Opened
    from service.settings import Settings

DIFFERENCES_TOLD = 10


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    settings_options.mount(app, "serve", serve)
    app.command("ui")(ui)
    app.command("load-history")(load_history)
    app.command("load-items")(load_items)
    app.command("parity")(parity)
    app.command("campaign")(campaign)
    app.command("export-events")(export_events)
    app.command("export-impressions")(export_impressions)
    app.command("uplift")(uplift)
    app.command("replay")(replay)
    retention_commands.mount(app)
    app.add_typer(key_commands.app, name="keys")


def serve(**chosen: object) -> None:
    """Answer recommendation requests over HTTP."""
    from service.server import metrics_folder

    metrics_folder.pass_over_inherited()  # before anything is imported that looks at it

    from service.security import bind_checks
    from service.settings import read_settings

    settings = bind_checks.made_safe(read_settings(**chosen))
    if not settings.sources and not settings.follow:
        raise ConfigError("Name what to serve: `recsys serve BUNDLE`, or `recsys serve --model models:/NAME@champion`.")

    from service.observability import logs
    from service.security.sessions import has_pages_apart, with_secret
    from service.server import open_files

    logs.configure(settings)
    settings = open_files.with_room(settings)
    pages_apart = has_pages_apart(settings)
    if settings.workers > 1 or pages_apart:
        from service.server import listening, supervisor  # nothing of what computes: that is the workers' matter

        listener = listening.listen(settings.host, settings.port, accepts=False)
        supervisor.supervise(
            with_secret(settings),
            listener,
            lambda opened: _tell(settings, listening.address(listener), opened),
            pages_apart=pages_apart,
        )
    else:
        from service.server import uvicorn_server

        uvicorn_server.serve(settings, lambda url, opened: _tell(settings, url, opened))
    typer.echo("Stopped.")


def _tell(settings: "Settings", url: str, opened: "Opened") -> None:
    from service.security.api_keys import has_keys

    by = f" by {settings.workers} workers" if settings.workers > 1 else ""
    page = "" if has_keys(settings) and not settings.docs else f"  try it   {url}/docs\n"
    typer.echo(f"Serving {opened.title} at {url}{by}")
    typer.echo(f"{page}{_look(settings, url)}  health   {url}/health/ready\n  metrics  {url}/metrics")
    typer.echo(f"  events   {opened.store}")
    keys = "asked for" if has_keys(settings) else "nobody is asked for one; only this machine can reach the service"
    typer.echo(f"  keys     {keys}\nCtrl+C stops it.")


def _look(settings: "Settings", url: str) -> str:
    from service.security.sessions import has_pages

    return f"  look in  {url}/ui\n" if has_pages(settings) else ""


def parity(
    url: Annotated[str, typer.Argument(help="Address of a running service, such as http://127.0.0.1:8000.")],
    bundle: Annotated[Path, typer.Option(help="Directory of the bundle that it serves.")],
    histories: Annotated[str, typer.Option(help="Whose lists: name of an ingested dataset, or a path to its folder.")],
    users: Annotated[int, typer.Option(min=1, help="Users to compare, drawn at random.")] = 1000,
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=1000, help="Places to compare.")] = 20,
    stored: Annotated[
        bool, typer.Option("--stored", help="Ask by user id, as `load-history` stored them, instead of sending them.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    variant: Annotated[
        str | None, typer.Option(help="Variant that has the bundle, where the service has several.")
    ] = None,
) -> None:
    """Compare a running service with the offline scorer: exit status 1 unless every list agrees.

    A key that the service asks for is read from RECSYS_API_KEY.
    """
    import os

    from tqdm import tqdm

    try:
        from service.client.client import Client
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed. Install it: pip install 'recsys-vae[client]'.") from error
    from recsys_vae.bundles.bundle import Bundle
    from service.jobs.parity import choose_people, compare

    opened = Bundle.load(bundle)
    people = choose_people(histories, users, seed, opened.tiers.schema)
    with Client(url, api_key=os.environ.get("RECSYS_API_KEY"), variant=variant) as client:
        verdicts = compare(client, opened, people, k, stored=stored)
        found = list(tqdm(verdicts, total=len(people), desc="parity", unit="user", disable=None))
    _tell_parity([f"{one.user_id}: {one.difference}" for one in found if one.difference], len(found), k, opened.version)


def _tell_parity(differences: list[str], users: int, k: int, version: str) -> None:
    for line in differences[:DIFFERENCES_TOLD]:
        typer.echo(f"differs  {line}", err=True)
    typer.echo(f"{users - len(differences):,} of {users:,} users agree in {k} places with {version}.")
    if differences:
        raise typer.Exit(1)


def export_events(
    to: Annotated[Path, typer.Option(help="Parquet file to write, such as feedback.parquet.")],
    since: Annotated[
        datetime | None, typer.Option(help="First moment taken (UTC); events of unknown time are left out then.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Events of this source only: api (those sent to the service), or dataset:NAME.")
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(help="Events after this sequence only: the `through` of an earlier export.", min=0),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object: events, through. With --after, none is no error.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many there are; write nothing.")] = False,
    store: Store = None,
) -> None:
    """Write the event store's events as a log, which `recsys ingest` reads as it is."""
    from service.jobs import event_export
    from service.settings import read_settings
    from service.store.events import EventStore

    events = EventStore(read_settings(store=store).store_url)
    done = event_export.export_events(events, to, since=since, source=source, after=after, dry_run=dry_run)
    events.close()
    if as_json:
        typer.echo(json.dumps(asdict(done)))
    elif dry_run:
        typer.echo(f"{to}: {done.events:,} events would be written.")
    elif done.events:
        typer.echo(f"{to}: {done.events:,} events. Next: recsys ingest {to} --to NAME")
    else:
        typer.echo(f"No event has come after sequence {after}: nothing was written.")
