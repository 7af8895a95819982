"""Dislikes: rows that speak against an item, and what they make of the other rows of the same pair.

The latest row of a user and an item decides. Where it speaks against the item, the pair is no interaction but a
dislike, one row in a table of its own; where it speaks for it, what spoke against it before is no more than an event.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from pipelines.ingest import cleaning
from pipelines.ingest.cleaning import DROPPED_BY, RULES, Rule, in_order
from pipelines.ingest.keep import Keep
from pipelines.ingest.kept_rows import Ids, TableWriter
from pipelines.ingest.table_schemas import INTERACTIONS
from pipelines.ingest.user_partitions import Part, whole
from recsys_vae.data import columns as c

PAIR = [c.USER, c.ITEM]


def mark_dislikes(rows: pl.DataFrame) -> pl.DataFrame:
    """Mark rows of weight below 0 as lost, and the others of pairs whose latest row is one.

    All rows of a user must be in the frame, with the columns that give them their order (`whole`).
    """
    against = pl.col(c.WEIGHT) < 0
    touched = rows.join(rows.filter(against).select(PAIR).unique(), on=PAIR, how="semi")
    latest = in_order(touched).group_by(PAIR, maintain_order=True).agg((pl.col(c.WEIGHT).last() < 0).alias("disliked"))
    joined = rows.join(latest, on=PAIR, how="left", maintain_order="left")
    disliked = pl.col("disliked").fill_null(False)
    lost = (
        pl.when(against & disliked)
        .then(_taken_by(Rule.DISLIKE))
        .when(against)
        .then(_taken_by(Rule.LIKED_LATER))
        .when(disliked)
        .then(_taken_by(Rule.DISLIKED_LATER))
    )
    return joined.with_columns(lost.alias(DROPPED_BY)).drop("disliked")


def one_a_pair(rows: pl.DataFrame, keep: Keep) -> pl.DataFrame:
    """Of rows that speak against items the one that stands for each pair, with a weight above 0."""
    sized = rows.with_columns(pl.col(c.WEIGHT).abs()).lazy()
    return cleaning.drop_duplicates(sized, keep).filter(pl.col(DROPPED_BY).is_null()).collect()


class Dislikes:
    """Collects, part by part on disk, one row a pair that is disliked; ids are numbers."""

    def __init__(self, folder: Path, keep: Keep) -> None:
        folder.mkdir()
        self._folder, self._keep = folder, keep
        self._parts: dict[int, Part] = {}
        self._rows: dict[int, int] = {}

    @property
    def rows(self) -> int:
        """How many there are in all parts."""
        return sum(self._rows.values())

    def add(self, number: int, marked: pl.DataFrame) -> None:
        """Add those of a part, by user and order.

        Args:
            marked: as `mark_dislikes` gives them.
        """
        found = one_a_pair(marked.filter(pl.col(DROPPED_BY) == Rule.DISLIKE.value), self._keep)
        if found.is_empty():
            return
        for column in (c.ITEM, c.TIMESTAMP, c.POSITION, c.USER):
            found = found.sort(column, nulls_last=True, maintain_order=True)
        self._parts[number] = Part(self._folder / f"{number}")
        self._parts[number].add(found)
        self._rows[number] = found.height

    def pairs(self, number: int) -> pl.DataFrame | None:
        """Users and items of a part; None where it has none."""
        part = self._parts.get(number)
        return None if part is None else part.read().select(PAIR)

    def rows_of(self, number: int) -> pl.DataFrame | None:
        """Rows of a part; None where it has none."""
        part = self._parts.get(number)
        return None if part is None else part.read()

    def write(self, path: Path, ids: Ids, parts: Sequence[Part]) -> None:
        """Write all of them, be there any or none; `parts` are those that they were found in."""
        with TableWriter(path, INTERACTIONS) as table:
            for number in sorted(self._parts):
                table.write(whole(self._parts[number].take()), ids.of(*parts[number].users).texts())


def _taken_by(rule: Rule) -> pl.Expr:
    return pl.lit(rule.value, dtype=RULES)
