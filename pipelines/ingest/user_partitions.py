"""Rows of all logs, and how they are cut into ranges of users, so that each can be cleaned and sorted by itself.

Few rows stay in memory; many lie on disk, in files that are read one at a time.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from recsys_vae.data import columns as c

MAX_PARTS = 512
HELD_PARTS = 2
"""So many parts' rows are held in memory; more go to disk."""


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
        frames = self._frames or [pl.read_ipc(file) for file in self._files]
        return frames[0] if len(frames) == 1 else pl.concat(frames)

    def scan(self) -> pl.LazyFrame:
        """All its rows, lazily."""
        return pl.scan_ipc(self._files) if self._files else self.read().lazy()

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
    """Rows as they are read, ids as numbers; at most two parts' rows are in memory.

    Args:
        folder: where others go.
        rows_per_part: about how many rows a part has.
    """

    def __init__(self, folder: Path, rows_per_part: int) -> None:
        folder.mkdir()
        self._folder = folder
        self._rows_per_part = rows_per_part
        self._held: list[pl.DataFrame] = []
        self._held_rows = 0
        self._spilled: list[Path] = []
        self._user_counts = np.zeros(0, np.int64)
        self.height = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Add a block; memory is let go by writing what is held."""
        self._held.append(rows)
        self._held_rows += rows.height
        self.height += rows.height
        if self._held_rows > HELD_PARTS * self._rows_per_part:
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
        users = len(user_places)
        counts = np.zeros(users, np.int64)
        for rows in self._frames():
            counts += np.bincount(user_places[rows[c.USER].to_numpy()], minlength=users)
        bounds = self._bounds(counts)
        parts = [Part(self._folder / f"part{number}" if self._spilled else None) for number in range(len(bounds) + 1)]
        for rows in self._frames(remove=True):
            placed = rows.with_columns(
                pl.Series(c.USER, user_places[rows[c.USER].to_numpy()]),
                pl.Series(c.ITEM, item_places[rows[c.ITEM].to_numpy()]),
            )
            if len(parts) == 1:
                parts[0].add(placed)
                continue
            numbers = np.searchsorted(bounds, placed[c.USER].to_numpy(), side="right")
            order = np.argsort(numbers, kind="stable")
            ends = np.searchsorted(numbers[order], np.arange(len(parts)), side="right")
            sorted_rows = placed[order]
            for number, (start, end) in enumerate(zip(np.concatenate(([0], ends[:-1])), ends, strict=True)):
                if end > start:
                    parts[number].add(sorted_rows[int(start) : int(end)])
        return parts

    def _bounds(self, counts: np.ndarray) -> np.ndarray:
        """First user of every part but the first: whole users, about as many rows in each part."""
        wanted = max(self._rows_per_part, self.height // MAX_PARTS, 1)
        number = (np.cumsum(counts) - counts) // wanted
        return np.flatnonzero(np.diff(number)) + 1

    def _spill(self) -> None:
        self._spilled.append(self._folder / f"{len(self._spilled):06d}.arrow")
        pl.concat(self._held).write_ipc(self._spilled[-1])
        self._held, self._held_rows = [], 0

    def _frames(self, *, remove: bool = False) -> Iterator[pl.DataFrame]:
        if self._held:
            yield pl.concat(self._held)
        for file in self._spilled:
            yield pl.read_ipc(file)
            if remove:
                file.unlink()
        if remove:
            self._held = []
