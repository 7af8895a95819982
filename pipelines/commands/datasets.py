"""`recsys data`, `recsys ingest`, `recsys explain-data`."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.ray_option import Ray, chosen_address
from pipelines.imports import uncollected
from pipelines.ingest.keep import Keep
from pipelines.plain_options import PlainCommand
from recsys_vae.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.dataset.directory import DatasetDir
    from pipelines.ingest.early_reading import EarlyReading
    from pipelines.ingest.file_hashes import FileHashes
    from pipelines.ingest.ingest import Run
    from pipelines.ingest.log_files import ColumnMap
    from pipelines.ingest.log_sources import Source
    from pipelines.ingest.said import Said
    from recsys_vae.data.features import Field

data = typer.Typer(help="Public datasets: list them, fetch them.", no_args_is_help=True)


@data.command("list")
def list_datasets() -> None:
    """List the public catalog, and say which of them are here."""
    from rich.table import Table

    from pipelines.console import output_console
    from pipelines.public_datasets import catalog

    table = Table("name", "interactions", "here", "licence", title="Public datasets", title_justify="left")
    for dataset in catalog.DATASETS.values():
        folder = catalog.locate(dataset)
        table.add_row(dataset.name, f"{sum(dataset.rows):,}", str(folder) if folder else "-", dataset.licence)
    output_console().print(table)


@data.command("fetch")
def fetch_dataset(
    name: Annotated[str, typer.Argument(help="A name from `recsys data list`.")],
    to: Annotated[Path | None, typer.Option(help="Folder for the tables; default: under RECSYS_HOME.")] = None,
) -> None:
    """Download a public dataset, checked against its published checksum."""
    from pipelines.public_datasets import catalog

    print(catalog.fetch(catalog.find_dataset(name), to))


def ingest_logs(
    logs: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders of parts, quoted globs or addresses (s3://, https://, postgresql:// ...), of any "
            "known format; or one public dataset."
        ),
    ],
    *,
    to: Annotated[str, typer.Option(help="Name of the dataset, or a path with a slash.")],
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", help="OURS=THEIRS, as in user_id=userId; 'GLOB:OURS=THEIRS' for some files; repeatable."),
    ] = None,
    form: Annotated[
        list[str] | None,
        typer.Option("--format", help="NAME of a format, where the files' looks mislead; 'GLOB:NAME' for some files."),
    ] = None,
    separator: Annotated[
        str | None, typer.Option(help="What stands between fields: a mark, '::', tab, blank (any run of blanks).")
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option("--header/--no-header", help="Whether the first line names the columns.", show_default=False),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Names of all columns in order, as user_id,item_id,-,timestamp; - for none.")
    ] = None,
    encoding: Annotated[
        list[str] | None,
        typer.Option(help="Of text files: utf-8, latin-1, cp1252 ...; 'GLOB:NAME' for some files, also of metadata."),
    ] = None,
    id_prefix: Annotated[
        list[str] | None,
        typer.Option(help="user_id=TEXT or item_id=TEXT, put before each id; 'GLOB:user_id=TEXT' for some files."),
    ] = None,
    event_weight: Annotated[
        list[str] | None,
        typer.Option(
            help="EVENT=WEIGHT, as in purchase=3; 'GLOB:EVENT=WEIGHT' for some files, '*' for any event; repeatable. "
            "Other events are quarantined."
        ),
    ] = None,
    dislike: Annotated[
        list[str] | None,
        typer.Option(help="Event type that speaks against an item, as in returned or hidden; commas or repeatable."),
    ] = None,
    dislike_below: Annotated[
        float | None, typer.Option(help="Rows whose weight (or rating) is below speak against the item.")
    ] = None,
    min_rating: Annotated[float | None, typer.Option(help="Least weight (or rating) of a row.")] = None,
    keep: Annotated[
        Keep, typer.Option(help="Which row stands for a user and item that occur more than once.")
    ] = Keep.LAST,
    since: Annotated[datetime | None, typer.Option(help="First moment kept (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="First moment no longer kept (UTC).")] = None,
    max_events_per_user: Annotated[
        int | None, typer.Option(help="Most rows of a user; who has more is no person, and left out.", min=1)
    ] = None,
    returns: Annotated[
        bool, typer.Option("--returns", help="Rows of negative weight take back the purchase that they belong to.")
    ] = False,
    min_user: Annotated[int, typer.Option(help="Least number of items a user keeps (k-core).")] = 1,
    min_item: Annotated[int, typer.Option(help="Least number of users an item keeps (k-core).")] = 1,
    users: Annotated[str | None, typer.Option(help="Metadata a user, one row an id.")] = None,
    items: Annotated[
        str | None, typer.Option(help="Metadata an item, one row an id; a folder or a quoted glob of parts.")
    ] = None,
    users_map: Annotated[
        str | None, typer.Option(help="user_id=COLUMN of --users, where it is not the log's name of it.")
    ] = None,
    items_map: Annotated[
        str | None, typer.Option(help="item_id=COLUMN of --items, where it is not the log's name of it.")
    ] = None,
    user_field: Annotated[
        list[str] | None,
        typer.Option(help="NAME:KIND of a column of --users that models may use; kind category, set or number."),
    ] = None,
    item_field: Annotated[
        list[str] | None, typer.Option(help="The same for a column of --items; also kind text or sentence.")
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="What to read from a database among the logs, such as postgresql://host/name.")
    ] = None,
    given_test: Annotated[list[str] | None, typer.Option(help="Log of a published test part; repeatable.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the dataset together with its splits and studies.")
    ] = False,
    append: Annotated[
        bool,
        typer.Option(
            "--append", help="Add the logs to the dataset, under its settings; those that are in already are skipped."
        ),
    ] = False,
    appendable: Annotated[
        bool, typer.Option(help="Whether to keep what was accepted of the logs, which --append needs.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would come in; write nothing.")] = False,
    ray: Ray = None,
    context: typer.Context,
) -> None:
    """Clean raw logs into a dataset: contract, weights, filters, duplicates, k-core, metadata."""
    with uncollected():
        begun = [] if append or chosen_address(ray) else logs
        hashes, early = _begin(begun, context, hash_them=appendable)  # while what follows is imported
        from pipelines.console import output_console, prepare_tables, shown_steps, told_at_last
        from pipelines.dataset.directory import DatasetDir
        from pipelines.dataset.fields import Fields
        from pipelines.ingest.cleaning import CleaningRules
        from pipelines.ingest.formats.recognition import Says
        from pipelines.ingest.ingest import FLUSHING, ingest
        from pipelines.ingest.said import Said, parse_prefixes, split_column_option, split_plain_option
        from pipelines.ingest.settings import Settings
        from pipelines.sources.staging import staged, staged_file
        from recsys_vae.data import columns as c

    target = DatasetDir.to_write(to)
    if ray and (append or dry_run):
        raise ConfigError("--ray is for an ingest of whole logs: --append and --dry-run work on this machine alone.")
    if append and (overwrite or given_test):
        raise ConfigError("--append keeps what is there: it goes with neither --overwrite nor --given-test.")
    said = Said(
        tables=Says(separator=separator, header=header, columns=tuple(columns.split(",")) if columns else ()),
        formats=tuple(map(split_plain_option, form or [])),
        encodings=tuple(map(split_plain_option, encoding or [])),
        maps=tuple(map(split_column_option, mapping or [])),
        prefixes=parse_prefixes(id_prefix or []),
    )
    found = context.with_resource(staged(logs, query, _say))
    of_users, of_items = (context.with_resource(staged_file(place, _say)) for place in (users, items))
    source = _source(found, said, given_test or [], of_users, of_items)
    of_all, of_files = _event_weights(event_weight or [], source.files)
    rules = CleaningRules(
        min_rating=min_rating,
        event_weights=of_all,
        file_event_weights=of_files,
        since=_utc(since),
        until=_utc(until),
        keep=keep,
        max_events_per_user=max_events_per_user,
        returns=returns,
        min_user=min_user,
        min_item=min_item,
        dislikes=_kinds(dislike),
        dislike_below=dislike_below,
    )
    fields = Fields(_fields(user_field) or source.fields.users, _fields(item_field) or source.fields.items)
    source = replace(
        source,
        fields=fields,
        early=early,
        users_map=_metadata_map(users_map, "--users-map", c.USER),
        items_map=_metadata_map(items_map, "--items-map", c.ITEM),
    )
    with shown_steps() as step:
        if append:
            from pipelines.ingest.append import append as append_logs

            given = Settings.of(source, rules)
            appended = append_logs(
                source.logs, target, given=given, options=_given(context), dry_run=dry_run, step=step
            )
            summary, lines = appended.summary, appended.said()
        elif dry_run:
            with TemporaryDirectory() as folder:
                summary = ingest(source, DatasetDir(Path(folder) / target.name), rules, step=step)
            lines = summary.said()
        else:
            told = told_at_last(step, FLUSHING, prepare_tables)
            begin = context.with_resource(_on_cluster(ray, target))
            summary = ingest(
                source, target, rules, overwrite=overwrite, appendable=appendable, step=told, hashes=hashes, begin=begin
            )
            lines = summary.said()
    for line in [*lines, *(["nothing was written (--dry-run)"] if dry_run else [])]:
        print(line, file=sys.stderr)
    if summary is not None:
        output_console().print(summary.table())
    if not dry_run:
        print(target.path)


def _begin(logs: list[str], context: typer.Context, *, hash_them: bool) -> "tuple[FileHashes, EarlyReading]":
    """Begin to read the first log, and then to hash all, as far as they are files of this machine."""
    from pipelines.ingest.early_reading import EarlyReading
    from pipelines.ingest.file_hashes import FileHashes

    files = [Path(log).expanduser() for log in logs]
    hashes, early = context.with_resource(FileHashes()), context.with_resource(EarlyReading())
    if hash_them:
        hashes.begin(files, after=early.over)
    early.begin(files)
    return hashes, early


@contextmanager
def _on_cluster(ray: str | None, target: "DatasetDir") -> Iterator["Callable[..., Run] | None"]:
    """What makes a run on the cluster that is named, for as long as this process is connected; None where none is."""
    address = chosen_address(ray)
    if address is None:
        yield None
        return
    from pipelines.cluster.connection import connected
    from pipelines.ingest.distributed.run import ClusterRun

    target.path.parent.mkdir(parents=True, exist_ok=True)
    with connected(address, target.path.parent) as cluster:
        yield partial(ClusterRun, cluster=cluster)


def fold_dataset(dataset: Annotated[str, typer.Argument(help="Name or path of the dataset.")]) -> None:
    """Write the tables of a dataset anew, with what appended logs have changed beside them."""
    from pipelines.console import shown_steps
    from pipelines.dataset.directory import DatasetDir
    from pipelines.ingest.append import append as append_logs

    target = DatasetDir.open(dataset)
    with shown_steps() as step:
        append_logs([], target, fold=True, step=step)
    print(target.path)


def _given(context: typer.Context) -> list[str]:
    """Settings that stand on the command line."""
    from pipelines.ingest.settings import OPTIONS

    names = {name.removeprefix("--").replace("-", "_"): name for name in OPTIONS}
    names |= {"mapping": "--map", "form": "--format"}
    sources = {option: context.get_parameter_source(name) for name, option in names.items()}
    return [option for option, source in sources.items() if source is not None and source.name != "DEFAULT"]


def explain_data(
    dataset: Annotated[str, typer.Argument(help="Name or path of the dataset.")],
    *,
    user: Annotated[str | None, typer.Option(help="Id of a user, as in the log.")] = None,
    item: Annotated[str | None, typer.Option(help="Id of an item, as in the log.")] = None,
) -> None:
    """Say what became of the rows of one user or item, and which rule took them."""
    from pipelines.dataset.directory import DatasetDir
    from pipelines.ingest.explain import Entity, explain

    if (user is None) == (item is None):
        raise ConfigError("Ask about one of --user ID and --item ID.")
    entity = Entity.USER if user is not None else Entity.ITEM
    print("\n".join(explain(DatasetDir.open(dataset), entity, user or item or "").lines()))


def _source(logs: list[str], said: "Said", given_test: list[str], users: Path | None, items: Path | None) -> "Source":
    """What the arguments mean: a public dataset with its own mapping and metadata, or files."""
    from pipelines.dataset.fields import Fields
    from pipelines.ingest.formats.given import split_given
    from pipelines.ingest.formats.properties import take_properties
    from pipelines.ingest.log_files import find_files
    from pipelines.ingest.log_sources import Source

    base = _public_source(logs[0]) if len(logs) == 1 and not Path(logs[0]).exists() else None
    base = Source(find_files(logs)) if base is None else base
    logs_alone, properties = take_properties(base.logs)
    if properties is not None:
        _say(f"{properties.name}: {'taken as --items' if items is None else 'passed over, for --items is given'}")
    train, test = split_given(logs_alone)
    return Source(
        logs=train,
        mapping=base.mapping,
        given_test=base.given_test + test + find_files(given_test),
        users=users or base.users,
        items=items or base.items or properties,
        # The fields of a public dataset are those of its own tables.
        fields=Fields(base.fields.users if users is None else (), base.fields.items if items is None else ()),
        said=said,
    )


def _public_source(name: str) -> "Source | None":
    from pipelines.public_datasets import catalog

    named = catalog.DATASETS.get(name)
    return None if named is None else named.source(catalog.locate(named) or catalog.fetch(named))


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _metadata_map(option: str | None, name: str, column: str) -> "ColumnMap":
    from pipelines.ingest.log_files import ColumnMap

    if option is None:
        return ColumnMap()
    ours, equals, theirs = option.partition("=")
    if not (equals and theirs and ours == column):
        raise ConfigError(f"{name} takes {column}=COLUMN, the column that holds the id; got {option!r}.")
    return ColumnMap(((ours, theirs),))


def _fields(options: list[str] | None) -> "tuple[Field, ...]":
    from recsys_vae.data.features import Field

    return tuple(map(Field.parse, options or []))


def _kinds(options: list[str] | None) -> tuple[str, ...]:
    """Event types, each once, in the order given."""
    kinds = [kind.strip() for option in options or [] for kind in option.split(",")]
    if not all(kinds):
        raise ConfigError(f"--dislike takes event types, as in returned,hidden; got {options!r}.")
    return tuple(dict.fromkeys(kinds))


def _event_weights(
    options: list[str], files: Sequence[Path]
) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[str, str, float], ...]]:
    """Weights of events of all files, and of some: (event, weight) and (glob, event, weight)."""
    from pipelines.ingest.said import split_event_option

    of_all: list[tuple[str, float]] = []
    of_files: list[tuple[str, str, float]] = []
    for option in options:
        said, equals, weight = option.rpartition("=")
        glob, event = split_event_option(said, files)
        try:
            number = float(weight)
        except ValueError:
            number = None
        if not (equals and event) or number is None:
            raise ConfigError(f"--event-weight takes EVENT=NUMBER, for example purchase=3; got {option!r}.")
        if glob is None:
            of_all.append((event, number))
        else:
            of_files.append((glob, event, number))
    said_of = [*((None, event) for event, _ in of_all), *((glob, event) for glob, event, _ in of_files)]
    twice = [event for (_, event), count in Counter(said_of).items() if count > 1]
    if twice:
        raise ConfigError(
            f"--event-weight names {', '.join(map(repr, twice))} more than once. Give each event one weight."
        )
    return tuple(of_all), tuple(of_files)


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.add_typer(data, name="data")
    app.command("ingest", cls=PlainCommand)(ingest_logs)
    app.command("explain-data", cls=PlainCommand)(explain_data)
    app.command("fold", cls=PlainCommand)(fold_dataset)
