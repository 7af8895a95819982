"""Verbs of batch jobs: recommend, embed, lists, neighbours."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.ray_option import Ray, chosen_address
from pipelines.imports import uncollected
from recsys_vae.data.signal_rules import Repeat
from recsys_vae.errors import ConfigError
from recsys_vae.redaction import redacted

if TYPE_CHECKING:
    from pipelines.dataset.directory import DatasetDir
    from pipelines.recommend import Asked, Named, Spread
    from recsys_vae.data.ids import IdMap

BundlePath = Annotated[str, typer.Argument(help="Directory of a bundle, or its address, such as s3://bucket/name.")]
Dataset = Annotated[str, typer.Argument(help="Name or path of an ingested dataset.")]
Users = Annotated[
    Path | None,
    typer.Option("--users", help="Only these users: a text file with an id a line, or a table with user_id."),
]
To = Annotated[Path, typer.Option("--to", help="Parquet file to write.", show_default=False)]


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(recommend)
    app.command()(embed)
    app.command()(lists)
    app.command()(neighbours)


def recommend(
    context: typer.Context,
    bundle: BundlePath,
    dataset: Dataset,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="Where the lists go: a file that ends in .parquet, .csv or .ndjson, here or at s3:// gs:// az://, or "
            "postgresql://host/name.",
            show_default=False,
        ),
    ],
    table: Annotated[
        str | None,
        typer.Option("--table", help="Of the database, which is replaced whole.  [default: recommendations]"),
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Items a user; no list is longer than the catalogue.")] = 100,
    users: Users = None,
    keep_seen: Annotated[bool, typer.Option("--keep-seen", help="As --repeat allow.")] = False,
    repeat: Annotated[
        Repeat | None,
        typer.Option(
            help="What users already have: exclude, allow, or only that.  [default: exclude]", show_default=False
        ),
    ] = None,
    now: Annotated[
        datetime | None,
        typer.Option(
            help="When lists are for (UTC), where the bundle knows what is bought again.  "
            "[default: the latest event that is past]",
            show_default=False,
        ),
    ] = None,
    chunk: Annotated[int, typer.Option(help="Users scored at once.", min=1)] = 1024,
    scorer: Annotated[
        str, typer.Option(help="torch (exact product), or index: what the bundle serves with.")
    ] = "torch",
    at_most: Annotated[
        list[str] | None, typer.Option(help="N:COLUMN, as in 3:brand: so many items of a list share a value.")
    ] = None,
    at_least: Annotated[
        list[str] | None,
        typer.Option(help="N:GROUP: so many of a list are of long-tail, new, or fit brand=Own, year>=2024, price<=10."),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(help="COLUMN[:STRENGTH], as in genres:0.5: lists have the history's shares of its values."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say for whom and of what; write nothing.")] = False,
    ray: Ray = None,
) -> None:
    """Write the k best items of every user to a Parquet file."""
    with uncollected():
        from pipelines.console import output_console
        from pipelines.dataset.directory import DatasetDir
        from pipelines.recommend import LISTS, TORCH, Asked, check_batch, check_files, n_users, recommend_all
        from pipelines.sinks.deliver import delivered
        from pipelines.sinks.destination import parse_destination
        from recsys_vae.bundles.bundle import Bundle
        from recsys_vae.remote import brought_here
        from recsys_vae.reranking.rules import parse_rules

    rules = parse_rules(at_most or [], at_least or [], calibrate)
    destination = parse_destination(to, LISTS, table)
    opened, here = DatasetDir.open(dataset), context.with_resource(brought_here(bundle))
    loaded = Bundle.load(here, to_ask=scorer == TORCH)
    if loaded.manifest.provenance.dataset != opened.name:
        learned_from = loaded.manifest.provenance.dataset
        print(f"note: {loaded.version} learned from {learned_from!r}, not from {opened.name!r}", file=sys.stderr)
    only = _read_users(users)
    if dry_run:
        check_batch(loaded, opened, k, rules)
        if destination.is_plain:
            check_files(destination.path)
        asked = n_users(opened, only)
        print(f"{redacted(to)}: would get lists of {k:,} for {asked:,} users, {loaded.version}")
        return
    treated = _repeat(repeat, keep_seen=keep_seen)
    with (
        delivered(destination) as path,
        _spread(ray, here, opened, path, Asked(k, treated, now, scorer, rules), only, chunk) as spread,
    ):
        report = recommend_all(
            loaded,
            opened,
            path,
            k=k,
            only=only,
            chunk=chunk,
            repeat=treated,
            now=now,
            scorer=scorer,
            rules=rules,
            spread=spread,
        )
    _name_strangers(report.strangers, report.asked, opened.name)
    if report.without_list.number:
        why = "as they have no item to repeat" if repeat == "only" else "as they have every item "
        why += "" if repeat == "only" else "(--repeat allow lists these, too)"
        print(
            f"note: {report.without_list.number:,} of {report.asked:,} users get no list, {why}: {report.without_list}",
            file=sys.stderr,
        )
    if k > len(loaded.items):
        print(f"note: the catalogue has {len(loaded.items):,} items: no list is longer", file=sys.stderr)
    tiers = ", ".join(f"{count:,} by {tier}" for tier, count in sorted(report.tiers.items())) or "none"
    output_console().print(
        f"{redacted(to)}: {report.rows:,} rows for {report.users:,} users ({tiers}), {report.bundle}", soft_wrap=True
    )


@contextmanager
def _spread(
    ray: str | None, bundle: Path, dataset: "DatasetDir", to: Path, asked: "Asked", only: "IdMap | None", chunk: int
) -> Iterator["Spread | None"]:
    """What makes lists on the cluster that is named; None where none is."""
    address = chosen_address(ray)
    if address is None:
        yield None
        return
    from pipelines.cluster.connection import connected
    from pipelines.recommend import check_files
    from pipelines.sharded_lists import spread_on

    check_files(to)
    with connected(address, to.parent) as cluster:
        yield spread_on(cluster, bundle.resolve(), dataset, to, asked, only, chunk)


def _repeat(chosen: Repeat | None, *, keep_seen: bool) -> Repeat:
    if keep_seen and chosen not in (None, "allow"):
        raise ConfigError(f"--keep-seen is --repeat allow, and --repeat {chosen} was asked for. Leave one of them out.")
    return "allow" if keep_seen else chosen or "exclude"


def embed(
    context: typer.Context,
    bundle: BundlePath,
    dataset: Dataset,
    to: Annotated[Path, typer.Option("--to", help="Folder to write users.parquet and items.parquet to.")],
    users: Users = None,
) -> None:
    """Write user and item vectors: score = user vector times item vector."""
    from pipelines.console import output_console
    from pipelines.dataset.directory import DatasetDir
    from pipelines.recommend import ITEMS, USERS, embed_items, embed_users, strangers
    from recsys_vae.bundles.bundle import Bundle
    from recsys_vae.outputs import check_output
    from recsys_vae.remote import brought_here

    if to == Path():
        raise ConfigError("--to names no folder (is a variable unset?). Give it a name, or ./NAME.")
    for name, product in (("users.parquet", USERS), ("items.parquet", ITEMS)):
        check_output(to / name, product)  # both, before either is written
    opened, loaded = DatasetDir.open(dataset), Bundle.load(context.with_resource(brought_here(bundle)))
    n_items = embed_items(loaded, to / "items.parquet")
    only = _read_users(users)
    n_users = embed_users(loaded, opened, to / "users.parquet", only=only)
    if only is not None:
        _name_strangers(strangers(opened, only), len(only), opened.name)
    output_console().print(f"{to}: vectors of {n_users:,} users and {n_items:,} items", soft_wrap=True)


def lists(
    context: typer.Context,
    bundle: BundlePath,
    to: To,
    name: Annotated[
        list[str] | None, typer.Option(help="popular, recent, trending or new, repeatable; all that there are.")
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Items a list.")] = 100,
    metadata: Annotated[
        list[str] | None, typer.Option(help="FIELD=VALUE of a segment of users, repeatable; everybody when not given.")
    ] = None,
) -> None:
    """Write what is popular, trending and new to a Parquet file."""
    from pipelines.console import output_console
    from pipelines.item_lists import list_all
    from recsys_vae.bundles.bundle import Bundle
    from recsys_vae.remote import brought_here

    loaded, segment = Bundle.load(context.with_resource(brought_here(bundle))), dict(map(_field, metadata or ()))
    counts = list_all(loaded, to, names=name or (), k=k, metadata=segment)
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    output_console().print(f"{to}: {told}, {loaded.version}", soft_wrap=True)


def neighbours(
    context: typer.Context,
    bundle: BundlePath,
    to: To,
    kind: Annotated[str, typer.Option(help="similar, or bought-together.")] = "similar",
    k: Annotated[int, typer.Option("--k", help="Neighbours an item.")] = 20,
) -> None:
    """Write the items that are similar to each item, or bought together with it, to a Parquet file."""
    from pipelines.console import output_console
    from pipelines.item_lists import neighbours_of_all
    from recsys_vae.bundles.bundle import Bundle
    from recsys_vae.remote import brought_here

    loaded = Bundle.load(context.with_resource(brought_here(bundle)))
    rows = neighbours_of_all(loaded, to, kind=kind, k=k)
    output_console().print(f"{to}: {rows:,} rows, {loaded.version}", soft_wrap=True)


def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ConfigError(f"--metadata is FIELD=VALUE, got {text!r}.")
    return name, value


def _read_users(path: Path | None) -> "IdMap | None":
    if path is None:
        return None
    from pipelines.ingest.user_lists import read_user_list

    return read_user_list(path)


def _name_strangers(users: "Named", asked: int, dataset: str) -> None:
    if users.number:
        print(
            f"note: {users.number:,} of the {asked:,} users asked for have no interactions in {dataset!r} and are "
            f"answered as new users: {users}",
            file=sys.stderr,
        )
