"""From files to ranges of users: each piece is cut into the parts that its users are in; a part is its slices."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from pipelines.cluster.connection import Cluster
from pipelines.cluster.work import call_all
from pipelines.ingest.distributed.accepted_rows import maps_of, renumbered
from pipelines.ingest.distributed.files_read import Piece, ReadFile, own_folder
from pipelines.ingest.distributed.joined_reading import Numbers
from pipelines.ingest.kept_rows import Ids
from pipelines.ingest.user_partitions import HELD_PARTS, OPTIONAL, grouped, part_bounds, placed_rows
from recsys_vae.data import columns as c


class Slices(NamedTuple):
    """A piece, cut: its file, and where each part begins in it."""

    path: Path
    bounds: tuple[int, ...]

    def of(self, part: int) -> pl.DataFrame | None:
        """Rows of a part, in their order in the log; None where there are none."""
        start, end = self.bounds[part], self.bounds[part + 1]
        return pl.scan_ipc(self.path, glob=False).slice(start, end - start).collect() if end > start else None


@dataclass(frozen=True)
class PlacesOfIds:
    """Of each number that stands for an id its place in byte order: files of uint32."""

    users: Path
    items: Path


@dataclass(frozen=True)
class Cut:
    """All rows, cut into ranges of users.

    Attributes:
        bounds: first user of every part, and in the end how many users there are.
        slices: of every piece, in the order of the logs.
    """

    bounds: tuple[int, ...]
    slices: tuple[Slices, ...]

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return len(self.bounds) - 1


def cut(
    cluster: Cluster,
    files: Sequence[ReadFile],
    numbers: Sequence[Numbers],
    ids: Ids,
    rows_per_part: int,
    folder: Path,
    *,
    with_file: bool,
) -> Cut:
    """Cut all rows, into the same ranges as one machine does: one, as long as it would hold them all."""
    folder.mkdir()
    places = PlacesOfIds(folder / "users.npy", folder / "items.npy")
    np.save(places.users, ids.user_places)
    np.save(places.items, ids.item_places)
    firsts = np.zeros(0, np.int64)
    if _is_spilled(files, rows_per_part):
        counts = np.zeros(len(ids.user_places), np.int64)
        for one, its in zip(files, numbers, strict=True):
            rows = np.load(one.user_rows)
            np.add.at(counts, ids.user_places[np.load(its.users)[: len(rows)]], rows)
        firsts = part_bounds(counts, rows_per_part)
    calls = [
        (piece, its, places, firsts, folder, with_file)
        for one, its in zip(files, numbers, strict=True)
        for piece in one.pieces
    ]
    slices = tuple(call_all(cluster, _cut_piece, calls))
    return Cut((0, *firsts.tolist(), len(ids.users)), slices)


def _cut_piece(
    piece: Piece, numbers: Numbers, places: PlacesOfIds, firsts: np.ndarray, folder: Path, with_file: bool
) -> Slices:
    rows = pl.concat(piece.frames(), how="diagonal")
    absent = [name for name in OPTIONAL if name in rows.columns and rows[name].null_count() == rows.height]
    rows = rows.drop(*absent, *(() if with_file else ("file",)), strict=False)
    user_places, item_places = (np.load(path, mmap_mode="r") for path in (places.users, places.items))
    placed = placed_rows(renumbered(rows, maps_of(numbers)).rechunk(), user_places, item_places)
    parts = len(firsts) + 1
    part_of_row = np.searchsorted(firsts, placed[c.USER].to_numpy(), side="right").astype(np.uint32)
    order, ends = grouped(part_of_row, parts)
    ordered, path = placed[order], own_folder(folder) / "rows.arrow"
    pairs = zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    # A batch a part, so that a part is read without the others.
    some = [ordered[start:end] for start, end in pairs if end > start]
    (pl.concat(some, rechunk=False) if some else ordered).write_ipc(path)
    return Slices(path, tuple(ends.tolist()))


def _is_spilled(files: Sequence[ReadFile], rows_per_part: int) -> bool:
    """Whether `RowStore` would have written rows to disk."""
    return sum(block.rows for one in files for piece in one.pieces for block in piece.blocks) > (
        rows_per_part * HELD_PARTS
    )
