"""What is left of a log: written as it comes, under the ids that its numbers stand for, and described."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import polars as pl

from pipelines.ingest.coded_parquet import CodedParquet, Fragment
from pipelines.ingest.summary import Kept
from pipelines.ingest.table_schemas import Table
from recsys_vae.atomic import begin_flush
from recsys_vae.data import columns as c
from recsys_vae.native.parquet import encodings

if TYPE_CHECKING:
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class Ids:
    """The ids that numbers stand for.

    Attributes:
        users: in byte order.
        user_places: of each number that was given while reading its place in `users`, uint32.
        items: likewise.
        item_places: likewise.
        events: event types, by their numbers.
    """

    users: pl.Series
    user_places: np.ndarray
    items: pl.Series
    item_places: np.ndarray
    events: pl.Series

    def of(self, first: int, end: int) -> "Ids":
        """Of some users, who are counted from the first one on, and of all items."""
        return replace(self, users=self.users[first:end])

    def texts(self) -> dict[str, pl.Series]:
        """The texts of each column that holds numbers of them."""
        return {c.USER: self.users, c.ITEM: self.items, c.EVENT_TYPE: self.events}


class TableWriter:
    """Writes a table of the dataset frame by frame: by compiled loops, or else by polars or pyarrow."""

    def __init__(self, path: Path, table: Table) -> None:
        self._path, self._table = path, table
        library = encodings()
        self._coded = None if library is None else CodedParquet(path, table.schema, library)
        self._held: pl.DataFrame | None = None
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._coded is not None:
            self._coded.close(whole=kind is None)
            begin_flush(self._path)
        elif self._writer is not None:
            self._writer.close()
        elif kind is None:
            held = self._held if self._held is not None else pl.DataFrame(schema=self._table.schema)
            held.write_parquet(self._path, compression_level=1, statistics=False)

    def write(self, rows: pl.DataFrame, texts: Mapping[str, pl.Series]) -> None:
        """Write rows; other columns than the table's are left out.

        Args:
            rows: columns of texts as numbers, UInt32.
            texts: of each of these columns the texts that the numbers stand for, each once.

        Raises:
            SchemaError: types differ from the table's.
        """
        rows = rows.select(self._table.schema.names())
        named = [name for name in texts if name in rows.columns]
        self._table.check_types(rows.schema | {name: pl.String() for name in named if rows.schema[name] == pl.UInt32})
        self.rows += rows.height
        if self._coded is not None:
            self._coded.add(rows, texts)
            return
        rows = rows.with_columns(texts[name].gather(rows[name]).alias(name) for name in named)
        if self._held is None and self._writer is None:
            self._held = rows
            return
        if self._writer is None and self._held is not None:
            import pyarrow.parquet as pq

            schema = self._held.to_arrow().schema
            self._writer = pq.ParquetWriter(self._path, schema, compression="zstd", compression_level=1)
            self._append(self._held)
            self._held = None
        self._append(rows)

    def append(self, fragment: Fragment, rows: int) -> None:
        """Add rows that were written apart (`fragment_of`)."""
        if self._coded is None:
            raise NotImplementedError("A fragment is of compiled encodings, which are not here.")
        self._coded.append(fragment)
        self.rows += rows

    def _append(self, rows: pl.DataFrame) -> None:
        if self._writer is not None and rows.height:
            self._writer.write_table(rows.to_arrow().cast(self._writer.schema))


def fragment_of(path: Path, table: Table, rows: pl.DataFrame, texts: Mapping[str, pl.Series]) -> Fragment | None:
    """Rows of a table in a file of their own, as `TableWriter.write` takes them; None where nothing is compiled."""
    writer = TableWriter(path, table)
    if writer._coded is None:
        return None
    writer.write(rows, texts)
    writer._coded.close(whole=False)
    return writer._coded.as_fragment()


class KeptFacts:
    """Describes the interactions of a dataset while they are written.

    Attributes:
        item_rows: of each item how many there are.
        users: numbers of those who have any, some at a time.
        dislikes: pairs that lie beside the interactions, as their users dislike the items.
    """

    def __init__(self, items: int) -> None:
        self.item_rows = np.zeros(items, np.uint32)
        self.users: list[pl.Series] = []
        self._rows = self._untimed = self._unordered = self._against_time = 0
        self._times: list[datetime] = []
        self.dislikes = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Add the rows of a part, by user and order: none of its users is in another part."""
        self._rows += rows.height
        users = rows[c.USER].to_numpy()
        self.users.append(pl.Series(users[first_rows(users)]))
        self.item_rows += np.bincount(rows[c.ITEM].to_numpy(), minlength=len(self.item_rows)).astype(np.uint32)
        times = rows[c.TIMESTAMP]
        self._untimed += times.null_count()
        self._unordered += rows[c.POSITION].null_count()
        self._against_time += _users_against_time(rows)
        self._times += [time for time in (times.min(), times.max()) if isinstance(time, datetime)]

    def join(self, other: "KeptFacts", first_user: int) -> None:
        """Add those of further parts, whose users are counted from `first_user` on."""
        self._rows += other._rows
        self.users += [numbers + first_user for numbers in other.users]
        self.item_rows += other.item_rows
        self._untimed += other._untimed
        self._unordered += other._unordered
        self._against_time += other._against_time
        self._times += other._times

    def kept(self, given_test: int) -> Kept:
        """All of it."""
        items, users = int(np.count_nonzero(self.item_rows)), sum(map(len, self.users))
        return Kept(
            interactions=self._rows,
            users=users,
            items=items,
            density=self._rows / max(users * items, 1),
            given_test=given_test,
            first=min(self._times, default=None),
            last=max(self._times, default=None),
            without_timestamp=self._untimed,
            without_position=self._unordered,
            users_against_time=self._against_time,
            dislikes=self.dislikes,
        )


def first_rows(users: np.ndarray) -> np.ndarray:
    """Places of the first row of each user, of rows by user."""
    is_other = np.ones(len(users), bool)
    np.not_equal(users[1:], users[:-1], out=is_other[1:])
    return np.flatnonzero(is_other)


def _users_against_time(rows: pl.DataFrame) -> int:
    """Users with a row that stands after a later one: a column `position` of the log orders them otherwise."""
    user, time = pl.col(c.USER), pl.col(c.TIMESTAMP)
    stands_after_a_later = (user == user.shift()) & (time < time.shift())
    return rows.lazy().filter(stands_after_a_later).select(user).collect()[c.USER].n_unique()
