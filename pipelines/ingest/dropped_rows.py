"""Losses: how many rows each rule took of each user and item, so that one can ask later why something is missing."""

from pathlib import Path

import polars as pl

from pipelines.ingest.cleaning import DROPPED_BY, Rule
from pipelines.ingest.group_counts import ROWS, Counts
from pipelines.ingest.summary import Count
from pipelines.ingest.table_schemas import DROPPED_ROWS
from recsys_vae.data import columns as c

USER_ENTITY, ITEM_ENTITY = "user", "item"
RULE = "rule"


class DroppedRows:
    """Collects losses part by part.

    A user's rows are all in one part, so the counts of users go straight to disk; those of items add up in memory.
    """

    def __init__(self, folder: Path, user_ids: pl.Series, item_ids: pl.Series) -> None:
        """Args:
        user_ids: texts of the numbers that stand for users in the parts.
        item_ids: likewise.
        """
        folder.mkdir()
        self._user_ids, self._item_ids = user_ids, item_ids
        self._folder = folder
        self._files: list[Path] = []
        self._items = Counts([c.ITEM, RULE])
        self._rules = Counts([RULE])

    def add(self, marked: pl.DataFrame) -> None:
        """Count the rows of a part that have a rule in `lost_to`. No row may be given twice with the same rule."""
        lost = marked.filter(pl.col(DROPPED_BY).is_not_null()).rename({DROPPED_BY: RULE})
        self._rules.count(lost)
        self._items.count(lost)
        self._files.append(self._folder / f"{len(self._files):06d}.parquet")
        users = lost.group_by(c.USER, RULE).agg(pl.len().alias(ROWS))
        _as_losses(users, USER_ENTITY, c.USER, self._user_ids).write_parquet(self._files[-1])

    def totals(self) -> tuple[Count, ...]:
        """Rows that each rule took, in the order of the rules."""
        found = dict(self._rules.total().iter_rows())
        return tuple(Count(rule.value, found[rule.value]) for rule in Rule if rule.value in found)

    def write(self, path: Path) -> None:
        """All counts as one table, sorted, so that one id is found without reading the rest."""
        items = _as_losses(self._items.total(), ITEM_ENTITY, c.ITEM, self._item_ids)
        table = pl.concat([items.lazy(), pl.scan_parquet(self._files)]).sort("entity", "id", RULE)
        DROPPED_ROWS.check(table)
        table.sink_parquet(path)


def _as_losses(counts: pl.DataFrame, entity: str, column: str, ids: pl.Series) -> pl.DataFrame:
    return counts.select(
        pl.lit(entity).alias("entity"),
        ids.gather(counts[column]).alias("id"),
        pl.col(RULE).cast(pl.String),
        pl.col(ROWS).cast(pl.UInt32),
    )
