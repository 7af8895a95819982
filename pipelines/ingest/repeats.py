"""Repeats: the events of pairs that occur more than once, kept beside the one row that stands for each.

What speaks against an item is among them, with a weight below 0, also where it is all that there is of its pair.

A cut in time asks for what is new to the user, so it needs to know when a pair was met first. The row that stands for a
pair says when it was met last, or most.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.ingest.kept_rows import Ids, TableWriter
from pipelines.ingest.table_schemas import INTERACTIONS
from pipelines.ingest.user_partitions import Part, whole
from recsys_vae.data import columns as c

PAIR = (pl.col(c.USER).cast(pl.UInt64) * 2**32 + pl.col(c.ITEM)).alias("pair")
"""A user and an item, whose numbers have 32 bits each, as one number: several times as fast as two columns."""


class Repeats:
    """Collects, part by part on disk, all events of the pairs that occur more than once; ids are numbers.

    Where the log gives positions, those of the interactions are numbered anew. There all events of a user with such a
    pair are kept, so that their order can be told.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._parts: dict[int, Part] = {}

    def add(self, number: int, rows: pl.DataFrame, is_repeated: pl.Series) -> None:
        """Keep what is needed of a part before its duplicates are dropped.

        Args:
            number: of the part.
            rows: those that no rule has taken yet, in their order in the log; all rows of a user are in one part.
            is_repeated: whether a row is of a pair that has several.
        """
        if c.POSITION in rows.columns:
            has_position = pl.col(c.POSITION).is_not_null().any().over(c.USER)
            has_repeat = pl.col("repeated").any().over(c.USER)
            marked = rows.select(c.USER, c.POSITION, is_repeated.alias("repeated"))
            is_repeated |= marked.select(has_position & has_repeat).to_series()
        events = rows.filter(is_repeated)
        if not events.is_empty():
            self._parts[number] = Part(self._folder / f"{number}")
            self._parts[number].add(events)

    def thin(self, number: int, kept: pl.DataFrame, disliked: pl.DataFrame | None = None) -> None:
        """Leave the events of a part whose pair is among the rows that are kept, or disliked, by user and order."""
        part = self._parts.pop(number, None)
        if part is None:
            return
        if disliked is not None:
            kept = pl.concat([kept.select(c.USER, c.ITEM), disliked])
        events = whole(part.take())
        # Of users without repeats, who are mostly many, no pair is looked up.
        users, kept_users = events[c.USER].to_numpy(), kept[c.USER].to_numpy()
        has_repeats = np.zeros(int(max(users.max(), kept_users.max(initial=0))) + 1, bool)
        has_repeats[users] = True
        met = kept.select(c.USER, c.ITEM).filter(has_repeats[kept_users]).select(PAIR).to_series()
        left = events.filter(PAIR.is_in(met.implode()))
        if not left.is_empty():
            # Stable sorts of one column, the last the first key: what is equal stays in the order of the log.
            for column in (c.TIMESTAMP, c.POSITION, c.USER):
                left = left.sort(column, nulls_last=True, maintain_order=True)
            part.add(left)
            self._parts[number] = part

    def events(self, number: int) -> pl.DataFrame | None:
        """The events of a part; None where there are none."""
        part = self._parts.get(number)
        return None if part is None else part.read()

    def give(self, number: int, events: pl.DataFrame) -> None:
        """Add events of a part, as `events` gives them."""
        self._parts[number] = Part(self._folder / f"{number}")
        self._parts[number].add(events)

    def write(self, path: Path, ids: Ids, parts: Sequence[Part]) -> None:
        """Write the events that are left; no file where there are none. `parts` are those that they were found in."""
        if self._parts:
            with TableWriter(path, INTERACTIONS) as table:
                for number in sorted(self._parts):
                    table.write(self._parts[number].take(), ids.of(*parts[number].users).texts())
