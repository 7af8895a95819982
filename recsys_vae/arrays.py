"""Arrays that come from files: checked for shape, type, range and finiteness before anything computes with them.

Compiled code, ours and scipy's, follows row numbers wherever they lead: one that is out of range ends the process.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.errors import DataError

PRIVATE: Final = "c"
"""Mode of numpy's for mappings of which nobody else sees what is written to them."""
LOOKED_AT: Final = 1 << 22
"""Numbers that are looked at together."""


def is_mapped(array: NDArray[Any]) -> bool:
    """Whether an array lies in such a mapping, and so needs no copy by whoever takes it over."""
    return isinstance(array, np.memmap) and array.mode == PRIVATE


def check_finite(name: str, array: NDArray[Any]) -> None:
    """Raise DataError where an array of floats holds NaN or an infinity."""
    if not np.issubdtype(array.dtype, np.floating):
        return
    some = max(1, LOOKED_AT // max(1, array[:1].size)) if array.ndim else 1
    parts = (array[start : start + some] for start in range(0, len(array), some)) if array.ndim else (array,)
    if wrong := sum(np.count_nonzero(~np.isfinite(part)) for part in parts):
        raise DataError(f"{name} holds {wrong} numbers that are not finite.")


def floats_of(tensors: Mapping[str, NDArray[Any]], name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    """A tensor of finite numbers, as float32.

    Args:
        shape: None where any length will do.

    Raises:
        DataError: there is none, or it is of another shape or type.
    """
    found = _named(tensors, name)
    fits = len(found.shape) == len(shape) and all(n in (None, m) for n, m in zip(shape, found.shape, strict=True))
    if not fits or not np.issubdtype(found.dtype, np.floating):
        expected = ", ".join("any" if length is None else str(length) for length in shape)
        raise DataError(f"{name} holds {found.dtype} of shape {found.shape}, expected floats of shape ({expected}).")
    with np.errstate(over="ignore"):
        single = found.astype(np.float32, copy=not is_mapped(found))
    check_finite(name, single)
    return single


def sparse_of(tensors: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, int]) -> csr_array:
    """A sparse matrix of float32, kept as NAME.data, NAME.indices and NAME.indptr.

    Raises:
        DataError: a part is missing, or they make no such matrix of that shape.
    """
    data = floats_of(tensors, f"{name}.data", (None,))
    indices, indptr = _named(tensors, f"{name}.indices"), _named(tensors, f"{name}.indptr")
    check_sparse(name, data, indices, indptr, shape)
    return csr_array((data, indices, indptr), shape=shape)


def check_sparse(
    name: str, data: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any], shape: tuple[int, int]
) -> None:
    """Raise DataError unless three arrays make a sparse matrix by rows."""
    for part, array in (("indices", indices), ("indptr", indptr)):
        if array.ndim != 1 or array.dtype not in (np.int32, np.int64):
            raise DataError(f"{name}.{part} holds {array.dtype} of shape {array.shape}, expected a list of integers.")
    n_rows, n_columns = shape
    if len(indptr) != n_rows + 1 or indptr[0] != 0 or indptr[-1] != len(indices) or data.shape != indices.shape:
        raise DataError(
            f"{name} has {len(data)} entries, {len(indices)} columns and {len(indptr)} row starts: no matrix of "
            f"{n_rows} rows."
        )
    if (indptr[1:] < indptr[:-1]).any():
        raise DataError(f"{name}.indptr does not ascend.")
    if len(indices) and not 0 <= indices.min() <= indices.max() < n_columns:
        raise DataError(f"{name} names columns {indices.min()} to {indices.max()}, expected 0 to {n_columns - 1}.")


def _named(tensors: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    if name not in tensors:
        raise DataError(f"There is no tensor {name!r}.")
    return tensors[name]
