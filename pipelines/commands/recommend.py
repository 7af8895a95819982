"""Verbs of batch jobs: recommend, embed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recsys_vae.errors import ConfigError, DataError, SchemaError

if TYPE_CHECKING:
    from recsys_vae.data.ids import IdMap

BundlePath = Annotated[Path, typer.Argument(help="Directory of a bundle.")]
Dataset = Annotated[str, typer.Argument(help="Name or path of an ingested dataset.")]
Users = Annotated[
    Path | None,
    typer.Option("--users", help="Only these users: a text file with an id a line, or Parquet or CSV with user_id."),
]


def mount(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(recommend)
    app.command()(embed)


def recommend(
    bundle: BundlePath,
    dataset: Dataset,
    to: Annotated[Path, typer.Option("--to", help="Parquet file to write.", show_default=False)],
    k: Annotated[int, typer.Option("--k", help="Items a user.")] = 100,
    users: Users = None,
    keep_seen: Annotated[bool, typer.Option("--keep-seen", help="Also recommend what users already have.")] = False,
    chunk: Annotated[int, typer.Option(help="Users scored at once.", min=1)] = 1024,
    scorer: Annotated[
        str, typer.Option(help="torch (exact product), or index: what the bundle serves with.")
    ] = "torch",
) -> None:
    """Write the k best items of every user to a Parquet file."""
    from rich.console import Console

    from pipelines.dataset.directory import DatasetDir
    from pipelines.recommend import LISTS, recommend_all
    from recsys_vae.bundles.bundle import Bundle
    from recsys_vae.outputs import check_output

    check_output(to, LISTS)
    if to.suffix not in ("", ".parquet", ".pq"):
        raise ConfigError(f"Lists are written as Parquet, so {to.name} would mislead: end it in .parquet.")
    opened, loaded = DatasetDir.open(dataset), Bundle.load(bundle)
    if loaded.manifest.provenance.dataset != opened.name:
        learned_from = loaded.manifest.provenance.dataset
        print(f"note: {loaded.version} learned from {learned_from!r}, not from {opened.name!r}", file=sys.stderr)
    report = recommend_all(
        loaded,
        opened,
        to,
        k=k,
        only=_read_users(users),
        chunk=chunk,
        keep_seen=keep_seen,
        scorer=scorer,
    )
    tiers = ", ".join(f"{count:,} by {tier}" for tier, count in sorted(report.tiers.items()))
    Console().print(f"{to}: {report.rows:,} rows for {report.users:,} users ({tiers}), {report.bundle}", soft_wrap=True)


def embed(
    bundle: BundlePath,
    dataset: Dataset,
    to: Annotated[Path, typer.Option("--to", help="Folder to write users.parquet and items.parquet to.")],
    users: Users = None,
) -> None:
    """Write user and item vectors: score = user vector times item vector."""
    from rich.console import Console

    from pipelines.dataset.directory import DatasetDir
    from pipelines.recommend import ITEMS, USERS, embed_items, embed_users
    from recsys_vae.bundles.bundle import Bundle
    from recsys_vae.outputs import check_output

    if to == Path():
        raise ConfigError("--to names no folder (is a variable unset?). Give it a name, or ./NAME.")
    for name, product in (("users.parquet", USERS), ("items.parquet", ITEMS)):
        check_output(to / name, product)  # both, before either is written
    opened, loaded = DatasetDir.open(dataset), Bundle.load(bundle)
    n_items = embed_items(loaded, to / "items.parquet")
    n_users = embed_users(loaded, opened, to / "users.parquet", only=_read_users(users))
    Console().print(f"{to}: vectors of {n_users:,} users and {n_items:,} items", soft_wrap=True)


def _read_users(path: Path | None) -> "IdMap | None":
    from pipelines.ingest.ids import count_forms, drops_zeros, read_ids
    from pipelines.ingest.metadata_tables import read_table
    from recsys_vae.data.columns import USER
    from recsys_vae.data.ids import IdMap

    if path is None:
        return None
    if not path.is_file():
        raise DataError(f"There is no file {path} with a list of users.")
    if path.suffix not in (".parquet", ".csv"):
        return IdMap.from_values(line.strip() for line in path.read_text().splitlines() if line.strip())
    frame, rejected = read_table(path)
    if rejected:
        raise DataError(f"{path.name}, line {rejected[0].line:,}: {rejected[0].reason}. Correct it, or remove it.")
    if USER not in frame.columns:
        raise SchemaError(f"{path} has no column {USER!r}; it has {', '.join(frame.columns)}.")
    return IdMap.from_values(read_ids(frame[USER], without_zeros=drops_zeros(count_forms(frame[USER]))).drop_nulls())
