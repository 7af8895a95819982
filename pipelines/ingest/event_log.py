"""Events: the rows that duplicates were, kept beside the interactions that stand for them.

A cut in time asks for what is new to the user, so it needs to know when a pair was met first. The one row that stands
for a pair says when it was met last, or most.
"""

from pathlib import Path

import polars as pl

from pipelines.ingest import cleaning
from pipelines.ingest.cleaning import DROPPED_BY
from pipelines.ingest.table_schemas import INTERACTIONS
from recsys_vae.data import columns as c

PAIR = (c.USER, c.ITEM)


class EventLog:
    """Collects events part by part, on disk; in memory is one part."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._has_repeats = False

    def add(self, part: Path, standing: pl.DataFrame, marked: pl.DataFrame) -> None:
        """Keep the rows of a part as they were before its duplicates are dropped.

        Args:
            part: the file they came from.
            standing: the rows that no rule has taken yet.
            marked: the same with the duplicates marked.
        """
        self._has_repeats |= bool(marked[DROPPED_BY].is_not_null().any())
        standing.write_parquet(self._folder / part.name, compression="lz4")

    def write(self, parts: list[Path], target: Path) -> None:
        """Write the events of every pair that is left in the parts, sorted as the interactions are.

        Nothing is written where no pair occurs twice: then the interactions are the events.
        """
        if not self._has_repeats:
            return
        for part in parts:
            path = self._folder / part.name
            kept = pl.scan_parquet(path).join(pl.scan_parquet(part).select(PAIR), on=PAIR, how="semi")
            numbered = cleaning.number_positions(kept).select(c.INTERACTION_COLUMNS).collect()
            path.unlink()
            numbered.write_parquet(path, compression="lz4")
        whole = pl.scan_parquet([self._folder / part.name for part in parts])
        INTERACTIONS.check(whole)
        whole.sink_parquet(target)
