"""What is left of a log: numbers become ids again, row groups are written as they come and described."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.ingest.summary import Kept
from pipelines.ingest.table_schemas import Table
from recsys_vae.data import columns as c

DICTIONARY_BYTES = 1 << 28
"""Bytes of texts in one dictionary of a row group."""


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

    def coded(self, rows: pl.DataFrame) -> dict[str, "Coded"]:
        """The columns of rows that are numbers of ids here."""
        known = {c.USER: self.users, c.ITEM: self.items, c.EVENT_TYPE: self.events}
        return {name: Coded(rows[name], texts) for name, texts in known.items()}


@dataclass(frozen=True)
class Coded:
    """A column of texts as their numbers.

    Attributes:
        numbers: places in `texts`, or null.
        texts: all of them.
    """

    numbers: pl.Series
    texts: pl.Series

    def to_arrow(self) -> pa.DictionaryArray:
        """With a dictionary of those texts alone that occur."""
        known = self.numbers.is_not_null()
        numbers = self.numbers.fill_null(0).to_numpy()
        occurs = np.zeros(max(len(self.texts), 1), bool)
        occurs[numbers[known.to_numpy()] if self.numbers.null_count() else numbers] = True
        met = np.flatnonzero(occurs)
        place = np.zeros(len(occurs), np.int32)
        place[met] = np.arange(len(met), dtype=np.int32)
        mask = ~known.to_numpy() if self.numbers.null_count() else None
        texts = self.texts.gather(met).to_arrow().cast(pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(place[numbers], mask=mask), texts)


class TableWriter:
    """Writes a table of the dataset, a row group for each frame."""

    def __init__(self, path: Path, table: Table) -> None:
        self._table = table
        # As dictionaries texts are neither made row by row nor looked up again; what is read is text.
        self._texts = [name for name, dtype in table.schema.items() if dtype == pl.String]
        types = pl.DataFrame(schema=table.schema).to_arrow().schema
        self._schema = pa.schema(
            pa.field(field.name, pa.dictionary(pa.int32(), pa.string()) if field.name in self._texts else field.type)
            for field in types
        )
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=self._texts,
            dictionary_pagesize_limit=DICTIONARY_BYTES,
            store_schema=False,
        )
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, rows: pl.DataFrame, coded: Mapping[str, Coded]) -> None:
        """Write rows, of which some columns are numbers of texts.

        Raises:
            SchemaError: names or types differ from the table's.
        """
        others = rows.select(name for name in self._table.schema if name not in coded)
        self._table.check_types(others.schema, coded)
        plain = others.to_arrow()
        columns = [
            coded[field.name].to_arrow() if field.name in coded else plain[field.name].cast(field.type)
            for field in self._schema
        ]
        if rows.height:
            self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
            self.rows += rows.height


class KeptFacts:
    """Describes the interactions of a dataset while they are written."""

    def __init__(self, items: int) -> None:
        self._has_item = np.zeros(items, bool)
        self._rows = self._users = self._untimed = self._unordered = 0
        self._times: list[datetime] = []

    def add(self, rows: pl.DataFrame) -> None:
        """Add the rows of a part: none of its users is in another part."""
        self._rows += rows.height
        self._users += rows[c.USER].n_unique()
        self._has_item[rows[c.ITEM].to_numpy()] = True
        times = rows[c.TIMESTAMP]
        self._untimed += times.null_count()
        self._unordered += rows[c.POSITION].null_count()
        self._times += [time for time in (times.min(), times.max()) if isinstance(time, datetime)]

    def kept(self, given_test: int) -> Kept:
        """All of it."""
        items = int(self._has_item.sum())
        return Kept(
            interactions=self._rows,
            users=self._users,
            items=items,
            density=self._rows / (self._users * items),
            given_test=given_test,
            first=min(self._times, default=None),
            last=max(self._times, default=None),
            without_timestamp=self._untimed,
            without_position=self._unordered,
        )
