"""Histories: all users of a dataset, or some of them, a chunk at a time, so that memory stays bounded."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.evidence import check_times, in_order, signed_matrix
from recsys_vae.data.changed_tables import batches
from recsys_vae.data.columns import ITEM, POSITION, TIMESTAMP, USER, WEIGHT
from recsys_vae.data.histories import empty_histories
from recsys_vae.data.ids import IdMap
from recsys_vae.data.signals import SignalRules

ROWS_AT_ONCE = 1_000_000
_PAIRS = (USER, ITEM, WEIGHT)
_EVENTS = (*_PAIRS, TIMESTAMP, POSITION)


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some users and their histories.

    Attributes:
        users: ids in ascending order, length n.
        histories: weights below 0 where a user dislikes an item (`data.signals`), over the catalogue asked for, shape
            (n, n_items); items outside it are left out.
    """

    users: pl.Series
    histories: csr_array


def read_histories(
    dataset: DatasetDir, items: IdMap, size: int, only: IdMap | None = None, *, half_life: float = math.inf
) -> Iterator[Chunk]:
    """Chunks of at most `size` users, in ascending order of their ids.

    Args:
        items: the catalogue.
        size: users a chunk.
        only: these users; those of whom nothing is known get an empty history, in chunks at the end.
        half_life: days in which an event's weight halves.

    Raises:
        ConfigError: there is a half-life, and no event has a time.
    """
    missing = np.ones(len(only), dtype=np.bool_) if only is not None else None
    source = _Source(dataset, items, half_life)
    for frame in whole_users(source.batches()):
        if only is not None and missing is not None:
            rows = only.rows(frame[USER])
            missing[rows[rows >= 0]] = False
            frame = frame.filter(pl.Series(rows >= 0))  # noqa: PLW2901
        yield from source.chunks(frame, size)
    if only is not None and missing is not None:
        absent = only.values.filter(pl.Series(missing))
        for start in range(0, len(absent), size):
            users = absent.slice(start, size)
            yield Chunk(users, empty_histories(len(users), len(items)))


def whole_users(pieces: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Rows by user, in pieces that end between two users."""
    held: pl.DataFrame | None = None
    for batch in pieces:
        piece = batch if held is None else pl.concat([held, batch])
        is_last = piece[USER] == piece[USER][-1]
        held = piece.filter(is_last)
        yield piece.filter(~is_last)
    if held is not None:
        yield held


class _Source:
    """Rows of a dataset by user: one a pair, or every event where weights depend on all of them."""

    def __init__(self, dataset: DatasetDir, items: IdMap, half_life: float) -> None:
        self._dataset, self._items = dataset, items
        self._is_aged = half_life != math.inf
        self._rules = replace(dataset.signals(), half_life=half_life) if self._is_aged else SignalRules()
        if self._is_aged:
            check_times(dataset.signed_events())

    def chunks(self, frame: pl.DataFrame, size: int) -> Iterator[Chunk]:
        """A piece in chunks."""
        users = frame[USER].unique(maintain_order=True)
        for start in range(0, len(users), size):
            chosen = users.slice(start, size)
            part = frame.filter(pl.col(USER).is_between(pl.lit(chosen[0]), pl.lit(chosen[-1])))
            yield Chunk(chosen, self._matrix(part, IdMap(chosen)))

    def _matrix(self, part: pl.DataFrame, users: IdMap) -> csr_array:
        if self._is_aged:
            return signed_matrix(in_order(part), users, self._items, self._rules)
        owners, rows = users.rows(part[USER]), self._items.rows(part[ITEM])
        known = rows >= 0
        column = part[WEIGHT].fill_null(1.0) if WEIGHT in part.columns else pl.repeat(1.0, part.height, eager=True)
        weights = column.to_numpy().astype(np.float32)[known]
        matrix = csr_array((weights, (owners[known], rows[known])), shape=(len(users), len(self._items)))
        matrix.sum_duplicates()
        return matrix

    def batches(self) -> Iterator[pl.DataFrame]:
        """All rows, by user."""
        dataset = self._dataset
        if self._is_aged:
            yield from batches(dataset.signed_events().select(_EVENTS), ROWS_AT_ONCE)
            return
        dislikes = dataset.dislikes()
        if dislikes is not None:
            liked, disliked = dataset.interactions().select(_PAIRS), dislikes.select(USER, ITEM, -pl.col(WEIGHT))
            yield from batches(liked.merge_sorted(disliked, USER), ROWS_AT_ONCE)
            return
        if dataset.changes():
            yield from batches(dataset.interactions().select(_PAIRS), ROWS_AT_ONCE)
            return
        file = pq.ParquetFile(dataset.interactions_path, memory_map=True, pre_buffer=False)
        columns = [name for name in _PAIRS if name in file.schema_arrow.names]
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
            ids = pl.col(USER, ITEM).cast(pl.String)
            yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch]))).with_columns(ids)
