"""Parquet: in batches, in their own types; a row's number is its place in the file, from 1.

Arrow reads the columns that are wanted and no other: polars 2.1 panics at types that it does not know, wanted or not.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.ingest.readers.arrow_columns import beyond_calendar, not_text, range_index, time_zones, to_series
from pipelines.ingest.readers.blocks import Block, Rejected, plain_raw
from recsys_vae.errors import DataError

BATCH_ROWS = 1 << 18
POLARS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What polars raises; a panic is no `Exception`."""
NOT_UTF_8 = "a text that is not UTF-8, as texts of Parquet are"
BEYOND_CALENDAR = "a time outside the years 1 to 9999, or a time of day outside a day"


class Parquet:
    """A Parquet file that is open.

    Attributes:
        columns: names of all its columns.
    """

    columns: tuple[str, ...]

    def __init__(self, path: Path, wanted: Sequence[str] | None) -> None:
        self._path = path
        try:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                schema, self._height = file.schema_arrow, file.metadata.num_rows
            names = [name for name in schema.names if name]
            self._wanted = [name for name in names if wanted is None or name in wanted]
            for field in schema:
                if field.name in self._wanted:
                    time_zones(field.type)  # raises where one is no text
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise unreadable(path.name, error) from error
        indexes = range_index(schema.metadata).items()
        self._index = {
            name: values for name, values in indexes if name not in names and (wanted is None or name in wanted)
        }
        self.columns = (*names, *self._index)

    def __iter__(self) -> Iterator[Block]:
        first = 0
        try:
            with pq.ParquetFile(self._path, pre_buffer=False) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=self._wanted):
                    yield self._block(batch, first)
                    first += batch.num_rows
        except (pa.ArrowException, OSError, UnicodeDecodeError, *POLARS) as error:
            raise unreadable(self._path.name, error) from error
        if first != self._height:
            raise DataError(
                f"{self._path.name} says that it has {self._height:,} rows, and {first:,} were read: nothing is taken "
                "of it. It is damaged: write it again."
            )
        if not first:
            yield Block(pl.DataFrame(schema=dict.fromkeys(self._wanted, pl.String)), np.empty(0, np.int64))

    def _block(self, batch: pa.RecordBatch, first: int) -> Block:
        numbers = np.arange(first, first + batch.num_rows)
        rejected = self._unheld(batch, first)
        if rejected:
            is_held = np.ones(batch.num_rows, bool)
            is_held[[one.line - 1 - first for one in rejected]] = False
            numbers, batch = numbers[is_held], batch.filter(pa.array(is_held))
        series = [to_series(name, batch.column(name)) for name in self._wanted]
        series += [pl.Series(name, values.start + numbers * values.step) for name, values in self._index.items()]
        return Block(pl.DataFrame(series), numbers + 1, rejected, taken=len(numbers) + len(rejected))

    def _unheld(self, batch: pa.RecordBatch, first: int) -> tuple[Rejected, ...]:
        """Rows with a value that cannot be what its column says; their raw text is the first of these."""
        found: dict[int, tuple[str, str]] = {}
        for name in self._wanted:
            column = batch.column(name)
            for place, value in not_text(column).items():
                found.setdefault(place, (plain_raw(value), NOT_UTF_8))
            for place, count in beyond_calendar(column).items():
                found.setdefault(place, (str(count), BEYOND_CALENDAR))
        return tuple(Rejected(first + place + 1, *found[place]) for place in sorted(found))


def unreadable(name: str, error: BaseException) -> DataError:
    """The one message for a file that cannot be read."""
    first_line = (str(error).strip().splitlines() or ["no reason is given"])[0][:200]
    return DataError(
        f"{name} cannot be read: {first_line}. Check that its content fits its ending, and each row its header."
    )
