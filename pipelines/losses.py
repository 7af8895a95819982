"""Losses: how many rows each rule took of each user and item, so that one can ask later why something is missing."""

from pathlib import Path

import polars as pl

from pipelines.clean import LOST_TO, Rule
from pipelines.schemas import LOSSES
from pipelines.summary import Count
from recsys_vae import columns as c

USER_ENTITY, ITEM_ENTITY = "user", "item"


class Losses:
    """Collects losses in files of one folder; only the counts of one `add` are in memory at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[Path] = []

    def add(self, marked: pl.LazyFrame) -> None:
        """Count the rows that have a rule in `lost_to`."""
        lost = marked.filter(pl.col(LOST_TO).is_not_null())
        counts = pl.concat([_count(lost, USER_ENTITY, c.USER), _count(lost, ITEM_ENTITY, c.ITEM)])
        self._folder.mkdir(exist_ok=True)
        self._files.append(self._folder / f"{len(self._files):06d}.parquet")
        counts.sink_parquet(self._files[-1])

    def totals(self) -> tuple[Count, ...]:
        """Rows that each rule took, in the order of the rules."""
        users = pl.scan_parquet(self._files).filter(entity=USER_ENTITY)
        rows = users.group_by("rule").agg(pl.col("rows").sum()).collect()
        found = dict(rows.iter_rows())
        return tuple(Count(rule.value, found[rule.value]) for rule in Rule if rule.value in found)

    def write(self, path: Path) -> None:
        """All counts as one table, sorted, so that one id is found without reading the rest."""
        keys = ["entity", "id", "rule"]
        table = pl.scan_parquet(self._files).group_by(keys).agg(pl.col("rows").sum()).sort(keys)
        LOSSES.check(table)
        table.sink_parquet(path)


def _count(lost: pl.LazyFrame, entity: str, column: str) -> pl.LazyFrame:
    counts = lost.group_by(pl.col(column).alias("id"), pl.col(LOST_TO).alias("rule")).agg(pl.len().alias("rows"))
    return counts.select(pl.lit(entity).alias("entity"), "id", "rule", pl.col("rows").cast(pl.UInt32))
