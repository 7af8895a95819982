"""Histories: all users of a dataset, or some of them, a chunk at a time, so that memory stays bounded."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from recsys_vae.data.changed_tables import batches
from recsys_vae.data.columns import ITEM, USER
from recsys_vae.data.histories import binary_histories, empty_histories
from recsys_vae.data.ids import IdMap

ROWS_AT_ONCE = 1_000_000


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some users and their histories.

    Attributes:
        users: ids in ascending order, length n.
        histories: binary, over the catalogue asked for, shape (n, n_items); items outside it are left out.
    """

    users: pl.Series
    histories: csr_array


def read_histories(dataset: DatasetDir, items: IdMap, size: int, only: IdMap | None = None) -> Iterator[Chunk]:
    """Chunks of at most `size` users, in ascending order of their ids.

    Args:
        items: the catalogue.
        size: users a chunk.
        only: these users; those without interactions get an empty history, in chunks at the end.
    """
    missing = np.ones(len(only), dtype=np.bool_) if only is not None else None
    for frame in _whole_users(dataset):
        if only is not None and missing is not None:
            rows = only.rows(frame[USER])
            missing[rows[rows >= 0]] = False
            frame = frame.filter(pl.Series(rows >= 0))  # noqa: PLW2901
        yield from _chunks(frame, items, size)
    if only is not None and missing is not None:
        absent = only.values.filter(pl.Series(missing))
        for start in range(0, len(absent), size):
            users = absent.slice(start, size)
            yield Chunk(users, empty_histories(len(users), len(items)))


def _whole_users(dataset: DatasetDir) -> Iterator[pl.DataFrame]:
    """The table in pieces that end between two users; it is sorted by user."""
    held = pl.DataFrame(schema={USER: pl.String, ITEM: pl.String})
    for batch in _batches(dataset):
        piece = pl.concat([held, batch.cast(pl.String)])
        is_last = piece[USER] == piece[USER][-1]
        held = piece.filter(is_last)
        yield piece.filter(~is_last)
    yield held


def _batches(dataset: DatasetDir) -> Iterator[pl.DataFrame]:
    if dataset.changes():
        yield from batches(dataset.interactions().select(USER, ITEM), ROWS_AT_ONCE)
        return
    file = pq.ParquetFile(dataset.interactions_path, memory_map=True, pre_buffer=False)
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=[USER, ITEM]):
        yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))


def _chunks(frame: pl.DataFrame, items: IdMap, size: int) -> Iterator[Chunk]:
    users = frame[USER].unique(maintain_order=True)
    for start in range(0, len(users), size):
        chosen = users.slice(start, size)
        part = frame.filter(pl.col(USER).is_between(pl.lit(chosen[0]), pl.lit(chosen[-1])))
        owners, rows = IdMap(chosen).rows(part[USER]), items.rows(part[ITEM])
        yield Chunk(chosen, binary_histories(owners, rows, len(chosen), len(items)))
