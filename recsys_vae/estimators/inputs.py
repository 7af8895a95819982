"""What the estimators take, in its several forms, as interactions and as histories over a catalogue."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from scipy.sparse import csr_array, issparse

from recsys_vae.data.columns import ITEM, USER, WEIGHT
from recsys_vae.data.histories import binary_histories
from recsys_vae.data.ids import IdMap, as_series
from recsys_vae.data.interactions import Interactions
from recsys_vae.data.signals import signed
from recsys_vae.errors import DataError
from recsys_vae.evaluation.entries import entry_rows
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.frames import is_frame
from recsys_vae.protocols import Int64Array

Data: TypeAlias = Any
"""Interactions; a frame, polars or pandas, with columns user_id, item_id and perhaps weight; or a sparse matrix,
whose rows and columns are the ids 0, 1, 2 ..."""

Histories: TypeAlias = Any
"""A list of item ids, for one user; a list of such lists; a mapping of user id to such a list; or what `Data` is. A
matrix has a column for each item of the catalogue, in its order."""


def as_interactions(data: Data) -> Interactions:
    """Data in any form as interactions.

    Raises:
        SchemaError: a frame has other columns.
        DataError: it is none of the forms, or breaks its contract.
    """
    if isinstance(data, Interactions):
        return data
    if is_frame(data):
        names = data.collect_schema().names() if isinstance(data, pl.LazyFrame) else list(data.columns)
        return Interactions.from_frame(data, user=USER, item=ITEM, weight=WEIGHT if WEIGHT in names else None)
    if issparse(data):
        return Interactions.from_matrix(data)
    raise DataError(
        f"Expected Interactions, a polars or pandas frame, or a sparse matrix of scipy; got {type(data).__name__}. "
        "Interactions.from_frame takes a frame whose columns have other names."
    )


def as_histories(histories: Histories, items: IdMap, dislikes: Histories = None) -> tuple[pl.Series, csr_array]:
    """Ids of the users, and their histories over a catalogue, shape (n, len(items)).

    Items that the catalogue does not have are left out. Users without ids are numbered from 0. Weights are those of the
    data, 1 in lists; below 0 for what a user dislikes: in a matrix, in a part of a split, or by `dislikes`.

    Args:
        dislikes: what the same users dislike; of users with ids by these, else as many as there are histories.

    Raises:
        DataError: it is none of the forms, ids are of another type, or a matrix is of another width.
    """
    if dislikes is not None:
        users, matrix = as_histories(histories, items)
        return users, _with_dislikes(users, matrix, dislikes, items)
    if isinstance(histories, HeldOut):
        return histories.users.labels(), _of_width(histories.shown, items)
    if issparse(histories):
        matrix = _of_width(histories, items)
        return _numbered(matrix.shape[0]), matrix
    if isinstance(histories, Interactions) or is_frame(histories):
        known = as_interactions(histories)
        return known.users.labels(), _over(known, items)
    if isinstance(histories, Mapping):
        ids = IdMap.from_labels(as_series(list(histories))) if histories else IdMap.from_values([])
        order = np.argsort(ids.find(list(histories)), kind="stable")
        lists = [list(histories.values())[place] for place in order]
        return ids.labels(), _from_lists(lists, items)
    if isinstance(histories, str | bytes) or not isinstance(histories, Iterable):
        raise DataError(f"A history is a list of item ids, got {histories!r}. Write [{histories!r}] for one item.")
    lists = list(histories)
    if not lists or not _is_list(lists[0]):
        lists = [lists]
    return _numbered(len(lists)), _from_lists(lists, items)


def as_dislikes(dislikes: Data, data: Interactions) -> csr_array:
    """What the users of some interactions dislike, of their shape; other users and items are passed over.

    Raises:
        SchemaError, DataError: as `as_interactions`; or a matrix is of another shape.
    """
    if issparse(dislikes) and dislikes.shape != data.matrix.shape:
        raise DataError(f"The dislikes have shape {dislikes.shape}, the interactions {data.matrix.shape}.")
    known = as_interactions(dislikes)
    rows, columns = data.users.find(known.users.labels()), data.items.find(known.items.labels())
    return _placed(known.matrix, rows, columns, data.matrix.shape)


def _with_dislikes(users: pl.Series, matrix: csr_array, dislikes: Histories, items: IdMap) -> csr_array:
    theirs, against = as_histories(dislikes, items)
    has_ids = isinstance(dislikes, HeldOut | Interactions | Mapping) or is_frame(dislikes)
    if not has_ids and len(theirs) != len(users):
        raise DataError(
            f"There are dislikes of {len(theirs)} users, and histories of {len(users)}. Give one list each."
        )
    place = {user: row for row, user in enumerate(users)}
    rows = np.array([place.get(user, -1) for user in theirs] if has_ids else range(len(users)), dtype=np.int64)
    return signed(matrix, _placed(against, rows, np.arange(len(items)), matrix.shape))


def _placed(matrix: csr_array, rows: Int64Array, columns: Int64Array, shape: tuple[int, int]) -> csr_array:
    """Entries at other places; those whose row or column is -1 are left out."""
    row, column = rows[entry_rows(matrix)], columns[matrix.indices]
    there = (row >= 0) & (column >= 0)
    found = csr_array((matrix.data[there], (row[there], column[there])), shape=shape, dtype=np.float32)
    found.sum_duplicates()
    return found


def _is_list(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes)


def _numbered(n: int) -> pl.Series:
    return pl.Series(USER, range(n), dtype=pl.Int64)


def _of_width(histories: Any, items: IdMap) -> csr_array:
    if histories.shape[1] != len(items):
        raise DataError(
            f"The histories have {histories.shape[1]} columns, the model knows {len(items)} items. Give item ids "
            "instead of a matrix, or a matrix over the items that the model was fitted on."
        )
    matrix = csr_array(histories, dtype=np.float32, copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _over(known: Interactions, items: IdMap) -> csr_array:
    columns = items.find(known.items.labels())
    return _placed(known.matrix, np.arange(known.n_users), columns, (known.n_users, len(items)))


def _from_lists(lists: Sequence[Iterable[object]], items: IdMap) -> csr_array:
    listed = [list(one) for one in lists]
    columns = items.find([item for one in listed for item in one])
    rows = np.repeat(np.arange(len(listed)), [len(one) for one in listed])
    return binary_histories(rows, columns, len(listed), len(items))
