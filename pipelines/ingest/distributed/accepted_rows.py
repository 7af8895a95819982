"""Accepted rows, written by calls: the same files that one reading writes (accepted.py)."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from pipelines.cluster.connection import Cluster
from pipelines.cluster.work import call_all
from pipelines.ingest.accepted import ROWS_A_FILE, RowsWriter
from pipelines.ingest.distributed.files_read import Piece, ReadFile, own_folder
from pipelines.ingest.distributed.joined_reading import Numbers
from recsys_vae.data import columns as c


class Run(NamedTuple):
    """Blocks of a piece that follow each other, from `first` to before `last`, of one log."""

    file: int
    piece: Piece
    numbers: Numbers
    first: int
    last: int
    rows: int


@dataclass
class AcceptedRows:
    """In the place of a `RowsWriter`, all of whose rows are written.

    Attributes:
        segments: pairs (file, rows), in the order of the rows.
        sizes: rows of each file of rows.
    """

    segments: list[tuple[int, int]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def flush(self) -> None:
        """Nothing is held."""


def write_accepted(
    cluster: Cluster, files: Sequence[ReadFile], numbers: Sequence[Numbers], scratch: Path, folder: Path
) -> AcceptedRows:
    """Write the rows of all files into `folder`."""
    folder.mkdir()
    groups = list(_groups(files, numbers))
    for _ in call_all(cluster, _write_rows, ((place, runs, scratch, folder) for place, runs in enumerate(groups))):
        pass
    of_files = [(one.number, sum(block.rows for piece in one.pieces for block in piece.blocks)) for one in files]
    return AcceptedRows(
        [(number, rows) for number, rows in of_files if rows], [sum(run.rows for run in runs) for runs in groups]
    )


def renumbered(rows: pl.DataFrame, maps: Mapping[str, pl.Series]) -> pl.DataFrame:
    """Rows whose numbers of ids are those among all files."""
    return rows.with_columns(maps[name].gather(rows[name]).alias(name) for name in maps if name in rows.columns)


def maps_of(numbers: Numbers) -> dict[str, pl.Series]:
    """Of each column of ids, by the number of a file the number among all."""
    places = {c.USER: numbers.users, c.ITEM: numbers.items, c.EVENT_TYPE: numbers.events}
    return {name: pl.Series(np.load(path), dtype=pl.UInt32) for name, path in places.items()}


def _write_rows(place: int, runs: Sequence[Run], scratch: Path, folder: Path) -> None:
    """Write one file of accepted rows."""
    own = own_folder(scratch)
    writer = RowsWriter(own, first=place)
    for run in runs:
        maps = maps_of(run.numbers)
        for rows in run.piece.frames()[run.first : run.last]:
            writer.add(renumbered(rows, maps), run.file)
    writer.flush()
    name = f"rows-{place}.arrow"
    os.replace(own / name, folder / name)


def _groups(files: Sequence[ReadFile], numbers: Sequence[Numbers]) -> Iterator[list[Run]]:
    """What goes into each file of rows, as `RowsWriter` gathers blocks."""
    group: list[Run] = []
    for one in files:
        for piece in one.pieces:
            first = rows = 0
            for place, block in enumerate(piece.blocks):
                rows += block.rows
                if rows + sum(run.rows for run in group) >= ROWS_A_FILE:
                    yield [*group, Run(one.number, piece, numbers[one.number], first, place + 1, rows)]
                    group, first, rows = [], place + 1, 0
            if rows:
                group.append(Run(one.number, piece, numbers[one.number], first, len(piece.blocks), rows))
    if group:
        yield group
