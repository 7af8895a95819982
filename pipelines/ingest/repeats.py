"""Repeats: the events of pairs that occur more than once, kept beside the one row that stands for each.

A cut in time asks for what is new to the user, so it needs to know when a pair was met first. The row that stands for a
pair says when it was met last, or most.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from pipelines.ingest.cleaning import DROPPED_BY
from pipelines.ingest.table_schemas import INTERACTIONS
from recsys_vae.data import columns as c

PAIR = (c.USER, c.ITEM)


class Repeats:
    """Collects, part by part on disk, all events of the pairs that occur more than once.

    Where the log gives positions, those of the interactions are numbered anew. There all events of a user with such a
    pair are kept, so that their order can be told.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder

    def add(self, part: Path, standing: pl.DataFrame, marked: pl.DataFrame) -> None:
        """Keep what is needed of a part before its duplicates are dropped.

        Args:
            part: the file of its rows.
            standing: the rows that no rule has taken yet.
            marked: the same with the duplicates marked.
        """
        lost = marked.filter(pl.col(DROPPED_BY).is_not_null()).select(PAIR).unique()
        if lost.is_empty():
            return
        events = standing.join(lost, on=PAIR, how="semi")
        if standing[c.POSITION].null_count() < standing.height:
            placed = standing.filter(pl.col(c.POSITION).is_not_null()).select(c.USER).unique()
            users = placed.join(lost, on=c.USER, how="semi")
            events = pl.concat([events, standing.join(users, on=c.USER, how="semi").join(lost, on=PAIR, how="anti")])
        events.write_parquet(self._folder / part.name, compression="lz4")

    def write(self, parts: Sequence[Path], target: Path) -> None:
        """Write the events whose pair is left in the parts, by user and order; nothing where there are none."""
        left = []
        for part in parts:
            path = self._folder / part.name
            if not path.exists():
                continue
            kept = pl.scan_parquet(path).join(pl.scan_parquet(part).select(PAIR), on=PAIR, how="semi")
            by = (c.USER, c.POSITION, c.TIMESTAMP, "file", "row")
            rows = kept.sort(by, nulls_last=True).select(c.INTERACTION_COLUMNS).collect()
            if not rows.is_empty():
                left.append(path.with_suffix(".kept"))
                rows.write_parquet(left[-1], compression="lz4")
        if left:
            whole = pl.scan_parquet(left)
            INTERACTIONS.check(whole)
            whole.sink_parquet(target)
