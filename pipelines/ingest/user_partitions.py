"""Rows of all logs, and how they are cut into ranges of users, so that each can be cleaned and sorted by itself.

Few rows stay in memory; many lie on disk, in files that are read one at a time.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.ingest.beside import side_by_side
from pipelines.ingest.cleaning import DROPPED_BY, RULES
from recsys_vae.data import columns as c
from recsys_vae.native.table_rows import count_places, group_users, place_numbers
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
    """Rows of a range of users, who are counted from the first of them on: held, or in files.

    Attributes:
        users: the first of them, and the one after the last.
    """

    def __init__(self, folder: Path | None = None, users: tuple[int, int] = (0, 0)) -> None:
        self._folder, self.users = folder, users
        self._frames: list[pl.DataFrame] = []
        self._files: dict[int, Path] = {}

    def add(self, rows: pl.DataFrame, number: int = 0) -> None:
        """Add rows; where they go to files, in the order of their numbers, each of which is given once."""
        if self._folder is None:
            self._frames.append(rows)
            return
        self._folder.mkdir(exist_ok=True)
        self._files[number] = self._folder / f"{number:06d}.arrow"
        write_rows(rows, self._files[number])

    def read(self) -> pl.DataFrame:
        """All its rows, in their order."""
        frames = self._frames or [mapped(self._files[number]) for number in sorted(self._files)]
        return frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal")

    def scan(self) -> pl.LazyFrame:
        """All its rows, lazily."""
        return self.read().lazy()

    def replace(self, rows: pl.DataFrame) -> None:
        """Leave these rows alone."""
        self._remove()
        self.add(rows)

    def take(self) -> pl.DataFrame:
        """All its rows, which are here no longer."""
        rows = self.read()
        self._remove()
        return rows

    def _remove(self) -> None:
        for file in self._files.values():
            file.unlink()
        self._frames, self._files = [], {}


class RowStore:
    """Rows as they are read, ids as numbers; few are held, many go to disk.

    Args:
        folder: where others go.
        rows_per_part: about how many rows a part has.
        with_file: whether it matters which file a row is of.
        elsewhere: files that hold all rows anyway, one after the other, by the time they are cut; None: there are none.
    """

    def __init__(
        self,
        folder: Path,
        rows_per_part: int,
        *,
        with_file: bool = False,
        elsewhere: Sequence[Path] | None = None,
    ) -> None:
        folder.mkdir()
        self._folder, self._elsewhere = folder, elsewhere
        self._rows_per_part = rows_per_part
        self._held: list[pl.DataFrame] = []
        self._held_rows = 0
        self._spilled: list[Path] = []
        self.is_on_disk = False
        self._with_file = with_file
        self.height = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Add a block; memory is let go by writing what is held."""
        # Rows keep their order, so nothing need say it.
        absent = [name for name in OPTIONAL if name in rows.columns and rows[name].null_count() == rows.height]
        self._held.append(rows.drop("row", *absent, *(() if self._with_file else ("file",)), strict=False))
        self._held_rows += rows.height
        self.height += rows.height
        if self._held_rows > self._rows_per_part * (1 if self.is_on_disk else HELD_PARTS):
            self._let_go()

    def cut(self, user_places: np.ndarray, item_places: np.ndarray) -> list[Part]:
        """All rows, a part a range of users, ascending; in it they keep their order.

        Args:
            user_places: of each number that stands for a user its place among the users in byte order; rows have the
                place then.
            item_places: likewise.
        """
        n_users = int(user_places.max(initial=0)) + 1
        if not self.is_on_disk:
            part = Part(users=(0, n_users))
            if self._held:
                rows, self._held = pl.concat(self._held, how="diagonal").rechunk(), []
                part.add(placed_rows(rows, user_places, item_places))
            return [part]
        self._let_go()
        files = self._spilled if self._elsewhere is None else self._elsewhere
        counts = np.zeros(n_users, np.int64)
        for file in files:
            _count_users(mapped(file)[c.USER].to_numpy(), user_places, counts)
        bounds = [0, *part_bounds(counts, self._rows_per_part).tolist(), n_users]
        part_of_user = np.repeat(np.arange(len(bounds) - 1, dtype=np.uint32), np.diff(bounds))
        parts = [Part(self._folder / f"part{number}", users) for number, users in enumerate(pairwise(bounds))]

        def cut_one(number: int) -> None:
            placed = placed_rows(mapped(files[number]), user_places, item_places)
            if self._elsewhere is None:
                files[number].unlink()
            order, ends = grouped(part_of_user[placed[c.USER].to_numpy()], len(parts))
            ordered = placed[order]
            for part, (start, end) in zip(parts, pairwise(ends.tolist()), strict=True):
                if end > start:
                    part.add(ordered[start:end].with_columns(pl.col(c.USER) - part.users[0]), number)

        for _ in side_by_side(cut_one, range(len(files))):
            continue
        return parts

    def _let_go(self) -> None:
        """Let go of what is held; written, unless it is elsewhere: a file for about as many rows as a part has."""
        self.is_on_disk = True
        held, self._held, self._held_rows = self._held, [], 0
        while held and self._elsewhere is None:
            some = [held.pop(0)]
            while held and sum(rows.height for rows in some) < self._rows_per_part:
                some.append(held.pop(0))
            self._spilled.append(self._folder / f"{len(self._spilled):06d}.arrow")
            write_rows(pl.concat(some, how="diagonal"), self._spilled[-1])


def write_rows(rows: pl.DataFrame, file: Path) -> None:
    """Write rows as an Arrow file, in one batch: so they are one chunk once it is mapped.

    By pyarrow, which writes at once where polars hands the file to threads of its own: half the time.
    """
    import pyarrow as pa

    table = rows.rechunk().to_arrow()
    with pa.OSFile(str(file), "wb") as opened, pa.ipc.new_file(opened, table.schema) as writer:
        writer.write_table(table)


def mapped(file: Path) -> pl.DataFrame:
    """Rows of an Arrow file, which is mapped, a tenth of the time of reading it; it may be unlinked, not written."""
    import pyarrow as pa

    with pa.memory_map(str(file)) as opened:
        rows = pl.from_arrow(pa.ipc.open_file(opened).read_all())
    if not isinstance(rows, pl.DataFrame):
        raise TypeError(f"{file.name} holds no table.")
    return rows


def _count_users(numbers: np.ndarray, places: np.ndarray, counts: np.ndarray) -> None:
    """Count rows by the place of their user."""
    library = tables()
    if library is None:
        np.add.at(counts, places[numbers], 1)
    else:
        count_places(library, numbers, places, counts)


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
