"""Events of an ingested dataset: its interactions, and what else its users did (`signed_events`), read in pieces.

The tables are the contract with the pipelines; columns.py names their columns. What speaks against an item has a
weight below 0.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_vae.data.changed_tables import change_files
from recsys_vae.data.columns import (
    EARLIEST,
    EVENT_TYPE,
    GREATEST_WEIGHT,
    INTERACTION_COLUMNS,
    ITEM,
    LATEST,
    LEAST_WEIGHT,
    LONGEST_ID,
    POSITION,
    TIMESTAMP,
    USER,
    WEIGHT,
)
from recsys_vae.data.ids import is_id
from recsys_vae.errors import DataError, SchemaError
from recsys_vae.home import existing_dataset
from service.jobs.signed_events import are_several, by_ranges, everybody, number_of_events
from service.store import identities
from service.store.events import Event

TABLE, USERS_TABLE = "interactions.parquet", "users.parquet"
BATCH_ROWS = 50_000


@dataclass(frozen=True)
class DatasetEvents:
    """What the users of one dataset did, as events.

    Attributes:
        name: of the dataset; the source of its events.
        path: of the table of interactions.
        n_rows: events.
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
        rows = table.metadata.num_rows
        if change_files(folder) or are_several(folder):
            rows = number_of_events(folder)
        return cls(folder.name, folder / TABLE, rows)

    def batches(self) -> Iterator[list[Event]]:
        """All events, those of a user together; memory holds one batch at a time.

        Raises:
            DataError: an id is none, a time could not be given back, or a weight is outside of the range that events
                may have.
        """
        untimed = Untimed()
        for piece in self._pieces():
            yield to_events(_checked(piece, self.path), untimed)

    def _pieces(self) -> Iterator[pl.DataFrame]:
        folder = self.path.parent
        if change_files(folder) or are_several(folder):
            yield from by_ranges(folder, everybody(folder), BATCH_ROWS)
            return
        table = pq.ParquetFile(self.path, pre_buffer=False)
        for piece in table.iter_batches(BATCH_ROWS, columns=list(INTERACTION_COLUMNS)):
            yield pl.DataFrame(pa.table(piece))


def _checked(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    weight, time = pl.col(WEIGHT), pl.col(TIMESTAMP)
    least, greatest = (pl.lit(bound, dtype=pl.Float32) for bound in (LEAST_WEIGHT, GREATEST_WEIGHT))
    wrong = {
        USER: ~is_id(pl.col(USER)).fill_null(False),
        ITEM: ~is_id(pl.col(ITEM)).fill_null(False),
        TIMESTAMP: ~time.is_between(EARLIEST, LATEST),
        WEIGHT: ~weight.abs().is_between(least, greatest).fill_null(False),
    }
    for name, test in wrong.items():
        if rows := frame.filter(test).height:
            raise DataError(
                f"{rows} rows of {path} have a {name} that cannot be kept. Expected ids of 1 to {LONGEST_ID} "
                f"characters without NUL, times from {EARLIEST.date()} to {LATEST.date()} and weights from "
                f"{LEAST_WEIGHT:f} to {GREATEST_WEIGHT:g}: ingest the log again with this version, or mend what the "
                "log holds."
            )
    return frame


class Untimed:
    """Counts a user's events without times by item and kind; a dataset has the rows of a user one after the other."""

    def __init__(self) -> None:
        self._user_id: str | None = None
        self._seen: Counter[tuple[str, str | None]] = Counter()

    def before(self, user_id: str, item_id: str, event_type: str | None) -> int:
        """How many such ones came before; this one is counted."""
        if user_id != self._user_id:
            self._user_id, self._seen = user_id, Counter()
        self._seen[item_id, event_type] += 1
        return self._seen[item_id, event_type] - 1


def to_events(frame: pl.DataFrame, untimed: Untimed) -> list[Event]:
    """Rows as events. The same user, item, kind and time are the same event, in every dataset. Where times are unknown
    but the order is not, so are the user's first with the item, the second, and so on; without an order there is one.
    """  # fmt: skip
    time = pl.col(TIMESTAMP).cast(pl.Datetime("us", "UTC")).dt.epoch("us")
    columns = frame.select(USER, ITEM, pl.col(EVENT_TYPE).cast(pl.String), WEIGHT, time.alias(TIMESTAMP), POSITION)
    return [_to_event(row, untimed) for row in columns.iter_rows()]


def _to_event(row: tuple[Any, ...], untimed: Untimed) -> Event:
    user_id, item_id, event_type, weight, time, position = row
    if time is not None:
        moment = identities.timed(time)
    else:
        moment = identities.untimed(0 if position is None else untimed.before(user_id, item_id, event_type))
    return Event(identities.content(user_id, item_id, event_type, moment), user_id, item_id, event_type, weight, time)
