"""A part, by calls: duplicates dropped by one, the core taken from it and its tables written by another.

In a part users are counted from its first one on, so that what a call holds does not grow with all users.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.coded_parquet import Fragment
from pipelines.ingest.dislikes import Dislikes
from pipelines.ingest.distributed.core import CoreLeft, PartRows
from pipelines.ingest.distributed.files_read import own_folder
from pipelines.ingest.distributed.shuffle import Cut
from pipelines.ingest.dropped_rows import DroppedRows, LossCounts
from pipelines.ingest.ingest import numbered
from pipelines.ingest.kept_rows import Ids, KeptFacts, fragment_of
from pipelines.ingest.log_sources import Source
from pipelines.ingest.part_cleaning import DistinctParts
from pipelines.ingest.repeats import Repeats
from pipelines.ingest.table_schemas import GIVEN_TEST, INTERACTIONS, Table
from pipelines.ingest.user_partitions import Part
from pipelines.ingest.user_rules import UserFacts
from recsys_vae.data import columns as c


class IdFiles(NamedTuple):
    """Files of the ids that places stand for, in byte order, and the event types by their numbers."""

    users: Path
    items: Path
    events: tuple[str, ...]

    @classmethod
    def write(cls, ids: Ids, folder: Path) -> "IdFiles":
        """Write them where all nodes see them."""
        folder.mkdir()
        for name, texts in (("users", ids.users), ("items", ids.items)):
            texts.alias("id").to_frame().write_ipc(folder / f"{name}.arrow", record_batch_size=1 << 18)
        return cls(folder / "users.arrow", folder / "items.arrow", tuple(ids.events))

    def of(self, first: int, end: int) -> Ids:
        """Ids of some users, and of all items."""
        users = pl.scan_ipc(self.users, glob=False).slice(first, end - first).collect()["id"]
        items = pl.scan_ipc(self.items, glob=False).collect()["id"]
        return Ids(
            users, np.empty(0, np.uint32), items, np.empty(0, np.uint32), pl.Series(self.events, dtype=pl.String)
        )


class Written(NamedTuple):
    """Rows that a call has written: so many, as a fragment of a table, or as numbers where nothing is compiled."""

    rows: int
    fragment: Fragment | None = None
    path: Path | None = None


class DistinctPart(NamedTuple):
    """A part without duplicates.

    Attributes:
        rows: what is left.
        repeats: file of what is kept beside it; None where there is nothing.
        dislikes: likewise, of pairs that are disliked.
    """

    rows: PartRows
    repeats: Path | None
    dislikes: Path | None


class Dropped(NamedTuple):
    """Rows of a part that were dropped, and of duplicates and busy users what `UserFacts` counts."""

    lost: LossCounts
    facts: tuple[Counter[str], Counter[str]]


class PartTables(NamedTuple):
    """What is written of a part: its rows, those of the test part, and its repeats."""

    rows: Written
    given: Written | None
    repeats: Written | None


@dataclass(frozen=True)
class PartCleaning:
    """How parts are cleaned, the same for all of them.

    Attributes:
        source: all logs.
        rules: what is kept.
        ids: of all parts.
        folder: where calls make folders of their own.
    """

    source: Source
    rules: CleaningRules
    ids: IdFiles
    folder: Path

    def distinct(self, number: int, parts: Cut) -> tuple[DistinctPart, Dropped]:
        """One row a user and item of a part."""
        own, users = own_folder(self.folder), (parts.bounds[number], parts.bounds[number + 1])
        ids = self.ids.of(*users)
        part = Part(users=(0, users[1] - users[0]))
        lost, facts = DroppedRows(ids.users, ids.items), UserFacts(ids)
        repeats, dislikes = Repeats(own / "repeats"), Dislikes(own / "dislikes", self.rules.keep)
        some = [rows for slices in parts.slices if (rows := slices.of(number)) is not None]
        rows = pl.concat(some, how="diagonal").rechunk()
        part.add(rows.with_columns(pl.col(c.USER) - users[0]))
        DistinctParts(self.source, self.rules, ids, repeats, dislikes).drop_duplicates([part], lost, facts)
        part.read().rechunk().write_ipc(path := own / "rows.arrow")
        found = DistinctPart(
            PartRows(number, users, path),
            _kept(repeats.events(0), own / "events.arrow"),
            _kept(dislikes.rows_of(0), own / "disliked.arrow"),
        )
        return found, Dropped(lost.losses, facts.counts())

    def finish(self, distinct: DistinctPart, core: CoreLeft | None) -> tuple[PartTables, LossCounts, KeptFacts]:
        """What a core leaves of a part, in order, written."""
        own, ids = own_folder(self.folder), self.ids.of(*distinct.rows.users)
        lost, kept = DroppedRows(ids.users, ids.items), KeptFacts(len(ids.items))
        rows = pl.scan_ipc(distinct.rows.path, glob=False).collect()
        if core is not None:
            rows = core.thin(rows, distinct.rows, lost)
        rows = numbered(rows)
        kept.add(rows)
        texts = ids.texts()
        repeats = self._repeats(distinct, rows, own)
        tables = PartTables(
            _write(own / "interactions", INTERACTIONS, rows, texts),
            _write(own / "given", GIVEN_TEST, rows.filter("given"), texts) if self.source.given_test else None,
            None if repeats is None else _write(own / "repeats", INTERACTIONS, repeats, texts),
        )
        return tables, lost.losses, kept

    def _repeats(self, distinct: DistinctPart, rows: pl.DataFrame, own: Path) -> pl.DataFrame | None:
        if distinct.repeats is None:
            return None
        repeats = Repeats(own / "repeats")
        repeats.give(0, pl.scan_ipc(distinct.repeats, glob=False).collect())
        disliked = None if distinct.dislikes is None else pl.scan_ipc(distinct.dislikes, glob=False).collect()
        repeats.thin(0, rows, None if disliked is None else disliked.select(c.USER, c.ITEM))
        return repeats.events(0)


def _kept(rows: pl.DataFrame | None, path: Path) -> Path | None:
    if rows is None:
        return None
    rows.rechunk().write_ipc(path)
    return path


def _write(path: Path, table: Table, rows: pl.DataFrame, texts: Mapping[str, pl.Series]) -> Written:
    fragment = fragment_of(path.with_suffix(".fragment"), table, rows, texts)
    if fragment is not None:
        return Written(rows.height, fragment)
    rows.select(table.schema.names()).write_ipc(path.with_suffix(".arrow"))
    return Written(rows.height, path=path.with_suffix(".arrow"))
