"""`recsys data`, `recsys ingest`, `recsys explain-data`."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.ingest.cleaning import CleaningRules, Keep
from pipelines.ingest.explain import Entity, explain
from pipelines.ingest.ingest import Source, ingest
from pipelines.ingest.log_files import ColumnMap, find_files
from pipelines.public_datasets import catalog
from recsys_vae.data.features import Field
from recsys_vae.errors import ConfigError

data = typer.Typer(help="Public datasets: list them, fetch them.", no_args_is_help=True)


@data.command("list")
def list_datasets() -> None:
    """List the public catalog, and say which of them are here."""
    table = Table("name", "interactions", "here", "licence", title="Public datasets", title_justify="left")
    for dataset in catalog.DATASETS.values():
        folder = catalog.locate(dataset)
        table.add_row(dataset.name, f"{sum(dataset.rows):,}", str(folder) if folder else "-", dataset.licence)
    Console().print(table)


@data.command("fetch")
def fetch_dataset(
    name: Annotated[str, typer.Argument(help="A name from `recsys data list`.")],
    to: Annotated[Path | None, typer.Option(help="Folder for the tables; default: under RECSYS_HOME.")] = None,
) -> None:
    """Download a public dataset, checked against its published checksum."""
    print(catalog.fetch(catalog.find_dataset(name), to))


def ingest_logs(
    logs: Annotated[
        list[str], typer.Argument(help="Files or quoted globs (CSV, TSV, Parquet, NDJSON), or one public dataset.")
    ],
    *,
    to: Annotated[str, typer.Option(help="Name of the dataset, or a path with a slash.")],
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="OURS=THEIRS, as in user_id=userId; repeatable.")
    ] = None,
    event_weight: Annotated[
        list[str] | None, typer.Option(help="EVENT=WEIGHT, as in purchase=3; repeatable. Other events are quarantined.")
    ] = None,
    min_rating: Annotated[float | None, typer.Option(help="Least weight (or rating) of a row.")] = None,
    keep: Annotated[
        Keep, typer.Option(help="Which row stands for a user and item that occur more than once.")
    ] = Keep.LAST,
    since: Annotated[datetime | None, typer.Option(help="First moment kept (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="First moment no longer kept (UTC).")] = None,
    min_user: Annotated[int, typer.Option(help="Least number of items a user keeps (k-core).")] = 1,
    min_item: Annotated[int, typer.Option(help="Least number of users an item keeps (k-core).")] = 1,
    users: Annotated[Path | None, typer.Option(help="Metadata a user, one row an id.")] = None,
    items: Annotated[Path | None, typer.Option(help="Metadata an item, one row an id.")] = None,
    user_field: Annotated[
        list[str] | None,
        typer.Option(help="NAME:KIND of a column of --users that models may use; kind category, set or number."),
    ] = None,
    item_field: Annotated[
        list[str] | None, typer.Option(help="The same for a column of --items; also kind text or sentence.")
    ] = None,
    given_test: Annotated[list[str] | None, typer.Option(help="Log of a published test part; repeatable.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the dataset together with its splits and studies.")
    ] = False,
) -> None:
    """Clean raw logs into a dataset: contract, weights, filters, duplicates, k-core, metadata."""
    target = DatasetDir.to_write(to)
    rules = CleaningRules(
        min_rating=min_rating,
        event_weights=_event_weights(event_weight or []),
        since=_utc(since),
        until=_utc(until),
        keep=keep,
        min_user=min_user,
        min_item=min_item,
    )
    source = _source(logs, ColumnMap.parse(mapping or []), given_test or [], users, items)
    fields = Fields(_fields(user_field) or source.fields.users, _fields(item_field) or source.fields.items)
    source = replace(source, fields=fields)
    console = Console(stderr=True)
    with console.status("starting") as status:
        summary = ingest(source, target, rules, overwrite=overwrite, step=status.update)
    Console().print(summary.table())
    print(target.path)


def explain_data(
    dataset: Annotated[str, typer.Argument(help="Name or path of the dataset.")],
    *,
    user: Annotated[str | None, typer.Option(help="Id of a user, as in the log.")] = None,
    item: Annotated[str | None, typer.Option(help="Id of an item, as in the log.")] = None,
) -> None:
    """Say what became of the rows of one user or item, and which rule took them."""
    if (user is None) == (item is None):
        raise ConfigError("Ask about one of --user ID and --item ID.")
    entity = Entity.USER if user is not None else Entity.ITEM
    print("\n".join(explain(DatasetDir.open(dataset), entity, user or item or "").lines()))


def _source(
    logs: list[str], mapping: ColumnMap, given_test: list[str], users: Path | None, items: Path | None
) -> Source:
    """What the arguments mean: a public dataset with its own mapping and metadata, or files."""
    named = catalog.DATASETS.get(logs[0]) if len(logs) == 1 and not Path(logs[0]).is_file() else None
    base = Source(find_files(logs)) if named is None else named.source(catalog.locate(named) or catalog.fetch(named))
    return Source(
        logs=base.logs,
        mapping=base.mapping.updated(mapping),
        given_test=base.given_test + find_files(given_test),
        users=users or base.users,
        items=items or base.items,
        # The fields of a public dataset are those of its own tables.
        fields=Fields(base.fields.users if users is None else (), base.fields.items if items is None else ()),
    )


def _fields(options: list[str] | None) -> tuple[Field, ...]:
    return tuple(map(Field.parse, options or []))


def _event_weights(options: list[str]) -> tuple[tuple[str, float], ...]:
    pairs = [option.rpartition("=")[::2] for option in options]
    twice = [event for event, count in Counter(event for event, _ in pairs).items() if event and count > 1]
    if twice:
        raise ConfigError(
            f"--event-weight names {', '.join(map(repr, twice))} more than once. Give each event one weight."
        )
    try:
        return tuple((event, float(weight)) for event, weight in pairs if event or _fail(weight))
    except ValueError as error:
        raise ConfigError(f"--event-weight takes EVENT=NUMBER, for example purchase=3; got {options}.") from error


def _fail(option: str) -> bool:
    raise ValueError(option)


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.add_typer(data, name="data")
    app.command("ingest")(ingest_logs)
    app.command("explain-data")(explain_data)
