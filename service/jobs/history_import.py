"""Events of an ingested dataset: its interactions.parquet, read in pieces.

The table is the contract with the pipelines; columns.py names its columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_vae.data.columns import (
    EARLIEST,
    EVENT_TYPE,
    GREATEST_WEIGHT,
    INTERACTION_COLUMNS,
    ITEM,
    LATEST,
    LEAST_WEIGHT,
    POSITION,
    TIMESTAMP,
    USER,
    WEIGHT,
)
from recsys_vae.errors import DataError, SchemaError
from recsys_vae.home import existing_dataset
from service.store.events import Event

TABLE = "interactions.parquet"
BATCH_ROWS = 50_000


@dataclass(frozen=True)
class DatasetEvents:
    """The interactions of one dataset as events.

    Attributes:
        name: of the dataset; the source of its events.
        path: of the table.
        n_rows: in the table.
    """

    name: str
    path: Path
    n_rows: int

    @classmethod
    def open(cls, name_or_path: str) -> "DatasetEvents":
        """A plain name is a folder of RECSYS_HOME/datasets, anything with a slash a path.

        Raises:
            UnknownNameError: there is no such dataset.
            SchemaError: its table lacks a column.
            DataError: its table is not readable.
        """
        folder = existing_dataset(name_or_path, TABLE)
        try:
            table = pq.ParquetFile(folder / TABLE)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{folder / TABLE} is not readable: {error}. Ingest the log again.") from error
        missing = [name for name in INTERACTION_COLUMNS if name not in table.schema_arrow.names]
        if missing:
            raise SchemaError(f"{folder / TABLE} lacks {', '.join(missing)}. Ingest the log again with this version.")
        return cls(folder.name, folder / TABLE, table.metadata.num_rows)

    def batches(self) -> Iterator[list[Event]]:
        """All events in the table's order; memory holds one batch at a time.

        Raises:
            DataError: a time could not be given back, or a weight is outside of the range that events may have.
        """
        table = pq.ParquetFile(self.path, pre_buffer=False)
        for piece in table.iter_batches(BATCH_ROWS, columns=list(INTERACTION_COLUMNS)):
            yield to_events(_checked(pl.DataFrame(pa.table(piece)), self.path))


def _checked(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    weight, time = pl.col(WEIGHT), pl.col(TIMESTAMP)
    least, greatest = (pl.lit(bound, dtype=pl.Float32) for bound in (LEAST_WEIGHT, GREATEST_WEIGHT))
    wrong = {
        TIMESTAMP: ~time.is_between(EARLIEST, LATEST),
        WEIGHT: ~weight.is_between(least, greatest).fill_null(False),
    }
    for name, test in wrong.items():
        if rows := frame.filter(test).height:
            raise DataError(
                f"{rows} rows of {path} have a {name} that cannot be kept. Expected times from {EARLIEST:%Y-%m-%d} to "
                f"{LATEST:%Y-%m-%d} and weights from {LEAST_WEIGHT:f} to {GREATEST_WEIGHT:g}: ingest the log again "
                "with this version."
            )
    return frame


def to_events(frame: pl.DataFrame) -> list[Event]:
    """Rows as events. The same user, item, kind and time are the same event; where times are unknown, the place in
    the user's order tells events apart.
    """  # fmt: skip
    time = pl.col(TIMESTAMP).cast(pl.Datetime("us", "UTC")).dt.epoch("us")
    moment = pl.coalesce(time.cast(pl.String), "p" + pl.col(POSITION).cast(pl.String), pl.lit(""))
    identity = pl.concat_str(USER, ITEM, pl.col(EVENT_TYPE).fill_null(""), moment, separator="\x1f")
    columns = frame.select(
        identity.alias("identity"), USER, ITEM, pl.col(EVENT_TYPE).cast(pl.String), WEIGHT, time.alias(TIMESTAMP)
    )
    return [Event(*row) for row in columns.iter_rows()]
