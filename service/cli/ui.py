"""`recsys ui`: the pages without a service, on a dataset and bundles alone, for whoever looks into a model."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.load_history import check_same_users, fill, source_of

if TYPE_CHECKING:
    from service.jobs.history_import import DatasetEvents
    from service.settings import Settings

HOST = "127.0.0.1"


def ui(
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Name of an ingested dataset, or a path to its folder.  [default: what the bundle has learned from, "
            "or the only one]"
        ),
    ] = None,
    bundle: Annotated[
        list[Path] | None,
        typer.Option(
            help="Directory of a bundle; several to compare.  [default: the newest under RECSYS_HOME or ./bundles that "
            "has learned from the dataset]"
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes any free one.")] = 8000,
    store: Annotated[
        str | None,
        typer.Option(
            help="URL of an event store to keep the histories in: one that holds the dataset already is taken as it is."
            "  [default: a temporary one]"
        ),
    ] = None,
) -> None:
    """Look at a dataset and its bundles in a browser, on this machine alone; needs no running service."""
    from service.cli.ui_bundles import dataset_of, newest_bundle, strangers
    from service.jobs.history_import import DatasetEvents

    bundles = list(bundle or ())
    table = DatasetEvents.open(dataset or dataset_of(bundles))
    bundles = bundles or [newest_bundle(table.name)]
    for line in strangers(bundles, table.name):
        typer.echo(f"note: {line}", err=True)
    with _store(store) as url:
        _show(_settings(bundles, url, port), table)
    typer.echo("Stopped.")


@contextmanager
def _store(chosen: str | None) -> Iterator[str]:
    """URL of the store that was chosen, or of one that is gone afterwards."""
    if chosen:
        yield chosen
        return
    with TemporaryDirectory(prefix="recsys-ui-") as folder:
        yield f"sqlite:///{folder}/events.db"


def _settings(bundles: list[Path], store: str, port: int) -> "Settings":
    from service.cli.ui_bundles import variants_of
    from service.security.bind_checks import made_safe
    from service.settings import read_settings

    chosen = {
        "exposures": "off",
        "interleave": (),
        "follow": False,
        "workers": 1,
        "ui": True,
        "ui_process": False,
        "access_log": False,
    }
    return made_safe(read_settings(variant=variants_of(bundles), store=store, host=HOST, port=port, **chosen))


def _show(settings: "Settings", table: "DatasetEvents") -> None:
    """Fill the store, then serve until Ctrl-C."""
    from service.observability import logs
    from service.server import listening, open_files, uvicorn_server
    from service.store.events import EventStore
    from service.ui.datasets import also_show

    logs.configure(settings)
    settings = open_files.with_room(settings)
    app, found = uvicorn_server.opened(settings)
    also_show(app, table.path.parent)
    listener = listening.listen(settings.host, settings.port)
    with closing(EventStore(settings.store_url)) as events:
        check_same_users(events, table.name)
        if source_of(table.name) not in events.sources():
            fill(events, table)
        kept = f"  events   {events.address}\n"
    url = listening.address(listener)

    def tell() -> None:
        typer.echo(f"Showing dataset {table.name} with {found.title}\n  look in  {url}/ui\n{kept}Ctrl+C stops it.")

    uvicorn_server.run(app, settings, listener, tell)
