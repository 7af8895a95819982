"""Cutting a table that is larger than memory into ranges of users, so that each can be cleaned and sorted by itself."""

from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from recsys_vae.data import columns as c

BATCH_ROWS = 131_072
SAMPLES_PER_PART = 256
MAX_PARTS = 512
"""Every part is a file that is open for writing while the table is read."""


def user_bounds(rows: pl.LazyFrame, height: int, rows_per_part: int) -> pl.Series:
    """First user of every part but the first, ascending, from a sample of the rows.

    A part has about `rows_per_part` rows, give or take a tenth; more where that made more than 512 parts, or where one
    user has more.
    """
    wanted = max(rows_per_part, height // MAX_PARTS, 1)
    step = max(wanted // SAMPLES_PER_PART, 1)
    sample = rows.filter(pl.col("row").hash() % step == 0).select(c.USER).collect(engine="streaming")
    firsts = sample[c.USER].sort().gather_every(max(wanted // step, 1))
    return firsts.slice(1).unique(maintain_order=True)


def write_parts(source: Path, folder: Path, bounds: pl.Series) -> list[Path]:
    """Copy the rows of a Parquet file to one file a range of users, in order of the ranges; rows keep their order.

    The file is read in batches, so that one batch is held in memory at a time.
    """
    paths = [folder / f"{number:06d}.parquet" for number in range(len(bounds) + 1)]
    with ExitStack() as stack:
        # Arrow's pre-buffering, on by default, would hold all compressed bytes of the file until the last batch.
        file = stack.enter_context(pq.ParquetFile(source, pre_buffer=False))
        schema = file.schema_arrow
        writers = [stack.enter_context(pq.ParquetWriter(path, schema, compression="lz4")) for path in paths]
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            rows = pl.DataFrame(batch)
            part = bounds.search_sorted(rows[c.USER], side="right").alias("part")
            for (number,), some in (
                rows.with_columns(part).partition_by("part", as_dict=True, include_key=False).items()
            ):
                writers[number].write_table(some.to_arrow().cast(schema))
    return paths
