"""Erased users of a dataset: who of those that its tables name was erased in the store, and is to leave it too."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import polars as pl

from recsys_vae.atomic import write_atomically
from recsys_vae.data.changed_tables import scan_changed
from recsys_vae.data.columns import TIMESTAMP, USER
from recsys_vae.data.erased_users import ErasedUsers, digest
from recsys_vae.errors import SchemaError
from recsys_vae.frames import columns_in, scan_table
from recsys_vae.home import existing_dataset
from recsys_vae.outputs import FileProduct
from service.store.database import Database
from service.store.erasures import tombstones
from service.timestamps import from_microseconds

INTERACTIONS = "interactions.parquet"
HEADING = ("user_id", "erased_at")
BATCH = 50_000


def _is_list(path: Path) -> bool:
    with path.open(encoding="utf-8") as file:
        return file.readline().strip() == ",".join(HEADING)


WRITTEN = FileProduct("a list by `recsys erased-users`", _is_list)
"""What a list may replace."""


@dataclass(frozen=True)
class Found:
    """Who was erased.

    Attributes:
        users: whom the tables name.
        erased: id -> moment of the erasure in microseconds since 1970, UTC; of users with something of before that.
    """

    users: int
    erased: Mapping[str, int]


def find_erased(database: Database, name_or_path: str) -> Found:
    """Users of a dataset, or of one Parquet table, of whom it holds what happened before they were erased.

    Those who were erased from the dataset already are left out: nothing of before can come back into it.

    Raises:
        UnknownNameError: there is no such dataset.
        SchemaError: the table has no column `user_id`.
        UnavailableError: the store does not answer.
    """
    users, known = _users(name_or_path)
    erased: dict[str, int] = {}
    for batch in users.iter_slices(BATCH):
        earliest = dict(batch.iter_rows())
        with database.reading() as connection:
            buried = tombstones(connection, earliest)
        for user, tombstone in buried.items():
            first, at = earliest[user], tombstone.erased_at
            if (first is None or first <= at) and known.moments.get(digest(user), at - 1) < at:
                erased[user] = at
    return Found(users.height, erased)


def write_list(erased: Mapping[str, int], path: Path) -> None:
    """Write ids with the moments of their erasure, as `recsys erase --users` and `recsys update --erase` read them."""
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(HEADING)
    rows.writerows((user, from_microseconds(at).isoformat(timespec="microseconds")) for user, at in erased.items())
    write_atomically(path, text.getvalue(), WRITTEN)


def _users(name_or_path: str) -> tuple[pl.DataFrame, ErasedUsers]:
    """`user_id` and `first`, the earliest moment that is known of each, null where one is unknown; who was erased."""
    table = Path(name_or_path).expanduser()
    if table.is_file():
        if USER not in columns_in(table):
            raise SchemaError(f"{table} has no column {USER!r}; it has {', '.join(columns_in(table))}.")
        return _earliest([scan_table(table)]), ErasedUsers()
    folder = existing_dataset(name_or_path, INTERACTIONS)
    return _earliest(list(_tables(folder))), ErasedUsers.read(folder)


def _tables(folder: Path) -> Iterator[pl.LazyFrame]:
    for name in ("interactions", "repeats"):
        if (rows := scan_changed(folder, name)) is not None:
            yield rows
    if (path := folder / "users.parquet").is_file():
        yield scan_table(path).select(USER)
    losses = [folder / "losses.parquet", *(folder / "changes").glob("losses-*.parquet")]
    for path in losses:
        if path.is_file():
            yield scan_table(path).filter(entity="user").select(pl.col("id").alias(USER))
    if (path := folder / "quarantine.parquet").is_file():
        yield scan_table(path).select(pl.col(USER).str.strip_chars()).drop_nulls()


def _earliest(tables: list[pl.LazyFrame]) -> pl.DataFrame:
    time = pl.col(TIMESTAMP).dt.epoch("us")
    found = []
    for table in tables:
        first = time if TIMESTAMP in table.collect_schema().names() else pl.lit(None, dtype=pl.Int64)
        found.append(table.select(pl.col(USER).cast(pl.String), first.alias("first")))
    rows = pl.concat(found).group_by(USER)
    one = pl.when(pl.col("first").null_count() > 0).then(None).otherwise(pl.col("first").min())
    return rows.agg(one.alias("first")).sort(USER).collect(engine="streaming")
