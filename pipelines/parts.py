"""Cutting a table that is larger than memory into ranges of users, so that each can be sorted by itself."""

from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from pipelines.clean import LOST_TO
from recsys_vae import columns as c

BATCH_ROWS = 131_072


def user_bounds(rows: pl.LazyFrame, rows_per_part: int) -> pl.Series:
    """First user of every part but the first, ascending: each part has about `rows_per_part` rows, or one user.

    Holds one count a user in memory.
    """
    counts = rows.group_by(c.USER).agg(pl.len().alias("n")).collect(engine="streaming").sort(c.USER)
    before = pl.col("n").cum_sum() - pl.col("n")
    part = (before // rows_per_part).alias("part")
    firsts = counts.select(c.USER, part).group_by("part", maintain_order=True).first()
    return firsts[c.USER].slice(1)


def write_parts(source: Path, folder: Path, bounds: pl.Series) -> list[Path]:
    """Copy the rows that no rule has taken to one file a range of users, in order of the ranges.

    The file is read in batches, so that one batch is held in memory at a time.
    """
    paths = [folder / f"{number:06d}.parquet" for number in range(len(bounds) + 1)]
    with ExitStack() as stack:
        file = stack.enter_context(pq.ParquetFile(source))
        schema = file.schema_arrow
        writers = [stack.enter_context(pq.ParquetWriter(path, schema, compression="lz4")) for path in paths]
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            rows = pl.DataFrame(batch).filter(pl.col(LOST_TO).is_null())
            part = bounds.search_sorted(rows[c.USER], side="right").alias("part")
            for (number,), some in (
                rows.with_columns(part).partition_by("part", as_dict=True, include_key=False).items()
            ):
                writers[number].write_table(some.to_arrow().cast(schema))
    return paths
