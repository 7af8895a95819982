"""What the estimators take, in its several forms, as interactions and as histories over a catalogue."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from scipy.sparse import csr_array, issparse

from recsys_vae.data.columns import ITEM, USER, WEIGHT
from recsys_vae.data.histories import binarise, binary_histories
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import DataError
from recsys_vae.evaluation.entries import entry_rows
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.frames import is_frame

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


def as_histories(histories: Histories, items: IdMap) -> tuple[pl.Series, csr_array]:
    """Ids of the users, and their histories over a catalogue, shape (n, len(items)), every weight 1.

    Items that the catalogue does not have are left out. Users without ids are numbered from 0.

    Raises:
        DataError: it is none of the forms, ids are of another type, or a matrix is of another width.
    """
    if isinstance(histories, HeldOut):
        return histories.users.labels(), binarise(_of_width(histories.histories, items))
    if issparse(histories):
        matrix = _of_width(histories, items)
        return _numbered(matrix.shape[0]), binarise(matrix)
    if isinstance(histories, Interactions) or is_frame(histories):
        known = as_interactions(histories)
        return known.users.labels(), _over(known, items)
    if isinstance(histories, Mapping):
        users = IdMap.from_labels(pl.Series("id", list(histories))) if histories else IdMap.from_values([])
        order = np.argsort(users.find(list(histories)), kind="stable")
        lists = [list(histories.values())[place] for place in order]
        return users.labels(), _from_lists(lists, items)
    if isinstance(histories, str | bytes) or not isinstance(histories, Iterable):
        raise DataError(f"A history is a list of item ids, got {histories!r}. Write [{histories!r}] for one item.")
    lists = list(histories)
    if not lists or not _is_list(lists[0]):
        lists = [lists]
    return _numbered(len(lists)), _from_lists(lists, items)


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
    columns = items.find(known.items.labels())[known.matrix.indices]
    return binary_histories(entry_rows(known.matrix), columns, known.n_users, len(items))


def _from_lists(lists: Sequence[Iterable[object]], items: IdMap) -> csr_array:
    listed = [list(one) for one in lists]
    columns = items.find([item for one in listed for item in one])
    rows = np.repeat(np.arange(len(listed)), [len(one) for one in listed])
    return binary_histories(rows, columns, len(listed), len(items))
