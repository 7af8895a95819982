"""Parquet: row groups in batches, in their own types; a row's number is its place in the file, from 1."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.ingest.readers.blocks import Block
from recsys_vae.errors import DataError

BATCH_ROWS = 1 << 18


class Parquet:
    """A Parquet file that is open.

    Attributes:
        columns: names of all its columns.
    """

    columns: tuple[str, ...]

    def __init__(self, path: Path, wanted: Sequence[str] | None) -> None:
        self._path = path
        try:
            frame = pl.scan_parquet(path, glob=False)
            self.columns = tuple(frame.collect_schema().names())
            self._height = int(frame.select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise unreadable(path.name, error) from error
        self._wanted = [name for name in self.columns if wanted is None or name in wanted]

    def __iter__(self) -> Iterator[Block]:
        frame = pl.scan_parquet(self._path, glob=False).select(self._wanted)
        for first in range(0, max(self._height, 1), BATCH_ROWS):
            try:
                rows = frame.slice(first, BATCH_ROWS).collect()
            except (pl.exceptions.PolarsError, OSError) as error:
                raise unreadable(self._path.name, error) from error
            taken = min(BATCH_ROWS, self._height - first)
            yield Block(rows, np.arange(first + 1, first + 1 + rows.height), taken=taken)


def unreadable(name: str, error: Exception) -> DataError:
    """The one message for a file that polars gives up on."""
    first_line = (str(error).strip().splitlines() or ["no reason is given"])[0][:200]
    return DataError(
        f"{name} cannot be read: {first_line}. Check that its content fits its ending, and each row its header."
    )
