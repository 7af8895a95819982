"""Erase: users leave a dataset whole, and no log of before brings them back.

What is left is the dataset of logs without their rows; that these rows were taken is counted, and not of whom. Splits
that hold somebody who was erased go, and are made again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import polars as pl

from pipelines.dataset.directory import WRITTEN, DatasetDir
from pipelines.ingest.accepted import ACCEPTED, Accepted
from pipelines.ingest.append import link
from pipelines.ingest.erased_tables import thin_tables
from pipelines.ingest.ingest import ROWS_PER_PART, Run, Step
from pipelines.ingest.source_metadata import MetadataRows
from pipelines.ingest.summary import IngestSummary
from recsys_vae.atomic import atomic_directory, remove_partials
from recsys_vae.data import columns as c
from recsys_vae.data.changed_tables import CHANGES, change_files
from recsys_vae.data.erased_users import ErasedUsers
from recsys_vae.locks import exclusive
from recsys_vae.outputs import check_output


@dataclass(frozen=True)
class Erased:
    """What was taken out of a dataset, or would be.

    Attributes:
        users: who were to be erased.
        present: of them those who are in its interactions.
        interactions: of theirs.
        rows: of its logs that are gone with them, in all; None where nothing was written.
        splits: that held them.
    """

    users: int
    present: int
    interactions: int
    rows: int | None
    splits: tuple[str, ...]


def erase(
    target: DatasetDir, users: Mapping[str, int], *, dry_run: bool = False, step: Step = lambda _: None
) -> Erased:
    """Take users out of a dataset, which is replaced whole or not at all; whoever is not in it is remembered too.

    Args:
        users: id -> moment of the erasure, in microseconds since 1970, UTC; what happened later stays.

    Raises:
        EmptyDataError: nothing would be left.
        ConfigError: something else stands at the dataset's place.
        BusyError: another process works on the dataset.
    """
    target = DatasetDir(check_output(target.path, WRITTEN))
    with exclusive(target.path):
        remove_partials(target.path)
        before = ErasedUsers.read(target.path)
        erased = before.joined(users)
        present, interactions = _present(target, users)
        splits = tuple(name for name in target.splits() if _holds(target.split_path(name), users))
        if dry_run:
            return Erased(len(users), present, interactions, None, splits)
        with atomic_directory(target.path, WRITTEN) as folder:
            step("taking users out")
            dataset = DatasetDir(folder)
            link(target.path, folder, _left_out(target, splits))
            erased.write(folder)
            summary = _thinned(target, dataset, erased, step)
            summary.write(dataset.summary_path)
        rows = ErasedUsers.read(target.path).rows - before.rows
        return Erased(len(users), present, interactions, rows, splits)


def _thinned(before: DatasetDir, dataset: DatasetDir, erased: ErasedUsers, step: Step) -> IngestSummary:
    """Make the tables without them."""
    earlier = IngestSummary.read(before.summary_path)
    if not (dataset.path / ACCEPTED).is_dir():
        return thin_tables(before, dataset, erased, earlier)
    accepted = Accepted.open(dataset.path / ACCEPTED)
    settings = accepted.state.settings
    source = settings.source(tuple(Path(one.path) for one in accepted.state.files))
    scratch = dataset.path / "scratch"
    scratch.mkdir()
    run = Run(source, settings.rules, dataset, scratch, ROWS_PER_PART, step)
    metadata = MetadataRows(earlier.user_rows, earlier.item_rows, earlier.metadata_quarantined)
    metadata = run.erase(accepted, metadata, erased)
    found = run.derive(before.name, accepted.read_again(), run.again(accepted), accepted.state.quarantined, metadata)
    rmtree(scratch)
    return found


def _left_out(target: DatasetDir, splits: tuple[str, ...]) -> set[str]:
    """Files that are written anew, and splits that are made again."""
    tables = (
        ("interactions", "dislikes", "repeats", "losses", "given_test") if (target.path / ACCEPTED).is_dir() else ()
    )
    changes = {f"{CHANGES}/{path.name}" for path in change_files(target.path)}
    old = {
        str(path.relative_to(target.path))
        for name in splits
        for path in (target.split_path(name), *target.split_path(name).rglob("*"))
    }
    return {*changes, *old, *(f"{table}.parquet" for table in tables), "summary.json", f"{ACCEPTED}/kept.arrow"}


def _present(target: DatasetDir, users: Mapping[str, int]) -> tuple[int, int]:
    """How many of the users have interactions of before they were erased, and how many these are."""
    wanted = pl.DataFrame({c.USER: list(users), "at": list(users.values())}, schema={c.USER: pl.String, "at": pl.Int64})
    rows = target.interactions().select(c.USER, c.TIMESTAMP).join(wanted.lazy(), on=c.USER)
    rows = rows.filter((pl.col(c.TIMESTAMP).dt.epoch("us") <= pl.col("at")).fill_null(value=True))
    found = rows.select(pl.col(c.USER).n_unique().alias("users"), pl.len()).collect().row(0)
    return int(found[0]), int(found[1])


def _holds(split: Path, users: Mapping[str, int]) -> bool:
    """Whether a split has any of the users in any part."""
    wanted = pl.Series(list(users), dtype=pl.String)
    for path in split.glob("*/users.arrow"):
        ids = pl.scan_ipc(path, glob=False).collect().to_series()
        if ids.cast(pl.String).is_in(wanted.implode()).any():
            return True
    return False
