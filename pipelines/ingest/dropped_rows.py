"""Losses: how many rows each rule took of each user and item, so that one can ask later why something is missing."""

from pathlib import Path

import numpy as np
import polars as pl

from pipelines.ingest.cleaning import DROPPED_BY, Rule
from pipelines.ingest.kept_rows import TableWriter
from pipelines.ingest.summary import Count
from pipelines.ingest.table_schemas import DROPPED_ROWS
from recsys_vae.data import columns as c

USER_ENTITY, ITEM_ENTITY = "user", "item"


class DroppedRows:
    """Adds up losses part by part; in memory is one count a rule and user, and one a rule and item."""

    def __init__(self, user_ids: pl.Series, item_ids: pl.Series) -> None:
        """Args:
        user_ids: texts of the numbers that stand for users in the parts, in byte order.
        item_ids: likewise.
        """
        self._ids = {USER_ENTITY: user_ids, ITEM_ENTITY: item_ids}
        self._counts: dict[tuple[str, Rule], np.ndarray] = {}

    def add(self, marked: pl.DataFrame) -> None:
        """Count the rows of a part that have a rule in `lost_to`. No row may be given twice with the same rule."""
        if not marked[DROPPED_BY].count():
            return
        rules = marked[DROPPED_BY].to_physical().fill_null(255).to_numpy()
        users, items = marked[c.USER].to_numpy(), marked[c.ITEM].to_numpy()
        for number, rule in enumerate(Rule):
            lost = rules == number
            if lost.any():
                self.count(rule, users[lost], items[lost])

    def count(self, rule: Rule, users: np.ndarray, items: np.ndarray) -> None:
        """Count rows that a rule took, by their numbers."""
        self._count(USER_ENTITY, rule, users)
        self._count(ITEM_ENTITY, rule, items)

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return len(self._ids[ITEM_ENTITY])

    def totals(self) -> tuple[Count, ...]:
        """Rows that each rule took, in the order of the rules."""
        found = [(rule, self._counts.get((USER_ENTITY, rule))) for rule in Rule]
        return tuple(Count(rule.value, int(counts.sum())) for rule, counts in found if counts is not None)

    def write(self, path: Path) -> None:
        """All counts as one table, sorted, so that one id is found without reading the rest."""
        with TableWriter(path, DROPPED_ROWS) as table:
            for entity in sorted(self._ids):
                table.write(self._losses(entity))

    def _losses(self, entity: str) -> pl.DataFrame:
        # In the order of the rules' names, which that of the columns of a matrix makes that of its cells.
        rules = sorted(rule for name, rule in self._counts if name == entity)
        counts = [self._counts[entity, rule] for rule in rules]
        matrix = np.stack(counts, axis=1) if counts else np.zeros((0, 0), np.uint32)
        ids, ruled = np.nonzero(matrix)
        return pl.DataFrame(
            {
                "entity": pl.repeat(entity, len(ids), eager=True),
                "id": self._ids[entity].gather(ids),
                "rule": pl.Series([rule.value for rule in rules], dtype=pl.String).gather(ruled),
                "rows": pl.Series(matrix[ids, ruled].astype(np.uint32)),
            }
        )

    def _count(self, entity: str, rule: Rule, numbers: np.ndarray) -> None:
        counts = np.bincount(numbers, minlength=len(self._ids[entity])).astype(np.uint32)
        known = self._counts.get((entity, rule))
        self._counts[entity, rule] = counts if known is None else known + counts
