"""Rows of all logs, and how they are cut into ranges of users, so that each can be cleaned and sorted by itself.

Few rows stay in memory; many lie on disk, in files that are read one at a time.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.ingest.cleaning import DROPPED_BY, RULES
from recsys_vae.data import columns as c
from recsys_vae.native.table_rows import group_users, place_numbers
from recsys_vae.native.tables import tables

MAX_PARTS = 512
HELD_PARTS = 4
"""As many rows as so many parts have are held; where there are more, all go to disk."""


OPTIONAL = {
    c.EVENT_TYPE: pl.UInt32(),
    c.TIMESTAMP: pl.Datetime("us", "UTC"),
    c.POSITION: pl.UInt32(),
    DROPPED_BY: RULES,
}
"""Columns that are left out where no row has a value."""


def with_optional(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of a part with all their columns."""
    absent = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in OPTIONAL.items() if name not in rows.columns]
    return rows.with_columns(absent)


def whole(rows: pl.DataFrame) -> pl.DataFrame:
    """The same, and with the `file` and `row` that give them their order."""
    rows = with_optional(rows)
    if "file" not in rows.columns:
        rows = rows.with_columns(pl.lit(0, dtype=pl.UInt32).alias("file"))
    return rows if "row" in rows.columns else rows.with_row_index("row")


class Part:
    """Rows of a range of users: held, or in files."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._frames: list[pl.DataFrame] = []
        self._files: list[Path] = []
        self._written = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows after those that are there."""
        if self._folder is None:
            self._frames.append(rows)
            return
        self._folder.mkdir(exist_ok=True)
        self._files.append(self._folder / f"{self._written:06d}.arrow")
        self._written += 1
        rows.write_ipc(self._files[-1])

    def read(self) -> pl.DataFrame:
        """All its rows, in the order in which they were added."""
        frames = self._frames or [pl.scan_ipc(file, glob=False).collect() for file in self._files]
        return frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal")

    def scan(self) -> pl.LazyFrame:
        """All its rows, lazily."""
        if self._files:
            return pl.concat([pl.scan_ipc(file, glob=False) for file in self._files], how="diagonal")
        return self.read().lazy()

    def replace(self, rows: pl.DataFrame) -> None:
        """Leave these rows alone."""
        old = self._files
        self._frames, self._files = [], []
        self.add(rows)
        for file in old:
            file.unlink()

    def take(self) -> pl.DataFrame:
        """All its rows, which are here no longer."""
        rows = self.read()
        for file in self._files:
            file.unlink()
        self._frames, self._files = [], []
        return rows


class RowStore:
    """Rows as they are read, ids as numbers; few are held, many go to disk.

    Args:
        folder: where others go.
        rows_per_part: about how many rows a part has.
        with_file: whether it matters which file a row is of.
    """

    def __init__(self, folder: Path, rows_per_part: int, *, with_file: bool = False) -> None:
        folder.mkdir()
        self._folder = folder
        self._rows_per_part = rows_per_part
        self._held: list[pl.DataFrame] = []
        self._held_rows = 0
        self._spilled: list[Path] = []
        self._with_file = with_file
        self.height = 0

    @property
    def is_on_disk(self) -> bool:
        """Whether rows are too many to be held."""
        return bool(self._spilled)

    def add(self, rows: pl.DataFrame) -> None:
        """Add a block; memory is let go by writing what is held."""
        # Rows keep their order, so nothing need say it.
        absent = [name for name in OPTIONAL if name in rows.columns and rows[name].null_count() == rows.height]
        self._held.append(rows.drop("row", *absent, *(() if self._with_file else ("file",)), strict=False))
        self._held_rows += rows.height
        self.height += rows.height
        if self._held_rows > self._rows_per_part * (1 if self._spilled else HELD_PARTS):
            self._spill()

    def cut(self, user_places: np.ndarray, item_places: np.ndarray) -> list[Part]:
        """All rows, a part a range of users, ascending; in it they keep their order.

        Args:
            user_places: of each number that stands for a user its place among the users in byte order; rows have the
                place then.
            item_places: likewise.
        """
        if self._spilled and self._held:
            self._spill()
        if not self._spilled:
            part = Part()
            for rows in self._frames(remove=True):
                part.add(placed_rows(rows, user_places, item_places))
            return [part]
        users = len(user_places)
        counts = np.zeros(users, np.int64)
        for rows in self._frames():
            counts += np.bincount(user_places[rows[c.USER].to_numpy()], minlength=users)
        bounds = part_bounds(counts, self._rows_per_part)
        part_of_user = np.searchsorted(bounds, np.arange(users), side="right").astype(np.uint32)
        parts = [Part(self._folder / f"part{number}") for number in range(len(bounds) + 1)]
        for rows in self._frames(remove=True):
            placed = placed_rows(rows, user_places, item_places)
            order, ends = grouped(part_of_user[placed[c.USER].to_numpy()], len(parts))
            ordered = placed[order]
            for part, start, end in zip(parts, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
                if end > start:
                    part.add(ordered[start:end])
        return parts

    def _spill(self) -> None:
        """Write what is held, a file for about as many rows as a part has."""
        while self._held:
            some = [self._held.pop(0)]
            while self._held and sum(rows.height for rows in some) < self._rows_per_part:
                some.append(self._held.pop(0))
            self._spilled.append(self._folder / f"{len(self._spilled):06d}.arrow")
            pl.concat(some, how="diagonal").write_ipc(self._spilled[-1])
        self._held_rows = 0

    def _frames(self, *, remove: bool = False) -> Iterator[pl.DataFrame]:
        # In one chunk each, in which places are looked up many times as fast as in several.
        held = pl.concat(self._held, how="diagonal").rechunk() if self._held else None
        if remove:
            self._held = []
        if held is not None:
            yield held
        for file in self._spilled:
            yield pl.scan_ipc(file, glob=False).collect()
            if remove:
                file.unlink()


def part_bounds(counts: np.ndarray, rows_per_part: int) -> np.ndarray:
    """First user of every part but the first: whole users, about as many rows in each part.

    Args:
        counts: rows of each user, int64.
        rows_per_part: how many are wanted.
    """
    rows = int(counts.sum())
    wanted = max(rows_per_part, rows // MAX_PARTS, 1)
    # Users without rows, of whom the last ones may stand behind a part that is full, begin none.
    number = np.minimum(np.cumsum(counts) - counts, max(rows - 1, 0)) // wanted
    return np.flatnonzero(np.diff(number)) + 1


def placed_rows(rows: pl.DataFrame, user_places: np.ndarray, item_places: np.ndarray) -> pl.DataFrame:
    """Rows with places in byte order in place of the numbers that were given while reading."""
    library = tables()
    if library is None:
        users, items = user_places[rows[c.USER].to_numpy()], item_places[rows[c.ITEM].to_numpy()]
    else:
        users, items = (
            place_numbers(library, rows[name].to_numpy(), places)
            for name, places in ((c.USER, user_places), (c.ITEM, item_places))
        )
    return rows.with_columns(pl.Series(c.USER, users), pl.Series(c.ITEM, items))


def grouped(numbers: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of rows by group, in their order; and where each group begins, shape (groups + 1,)."""
    library = tables()
    if library is not None:
        return group_users(library, numbers, None, groups)
    order = np.argsort(numbers, kind="stable")
    return order, np.searchsorted(numbers[order], np.arange(groups + 1))
