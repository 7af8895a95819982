"""Encodings of Parquet's pages, compiled (parquet.cpp); loaded without torch, as tables.py is.

Where it was not compiled, or with RECSYS_NATIVE=0, callers have polars write their tables.
"""

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_vae.native.build import PARQUET
from recsys_vae.native.plain_library import PlainLibrary
from recsys_vae.native.tables import at, i64

Bytes = NDArray[np.uint8]
MOST_FEW = 255
"""Values that `few` takes for few, at most."""
_BLOCK, _HEADS = 128, 40
"""Numbers of a block of `deltas`, and more bytes than what stands before all blocks has."""
_LIBRARY = PlainLibrary(
    PARQUET,
    newest="recsys_parquet_dense",
    counting=[f"recsys_parquet_{name}" for name in ("runs", "deltas", "deltas_32", "dense", "few")],
)
encodings, description = _LIBRARY.get, _LIBRARY.description


def runs(library: ctypes.CDLL, numbers: NDArray[np.uint32], width: int) -> Bytes:
    """Numbers of `width` bits, 1 to 32, as runs of equal ones or packed (RLE)."""
    found = np.empty(10 + (len(numbers) + 7) // 8 * width, np.uint8)
    return found[: library.recsys_parquet_runs(at(numbers), i64(len(numbers)), ctypes.c_int32(width), at(found))]


def deltas(library: ctypes.CDLL, numbers: NDArray[Any]) -> Bytes:
    """Whole numbers, int64 or int32, by their differences (DELTA_BINARY_PACKED)."""
    blocks = len(numbers) // _BLOCK + 1
    found = np.empty(_HEADS + blocks * (16 + _BLOCK * numbers.itemsize), np.uint8)
    put = library.recsys_parquet_deltas if numbers.dtype == np.int64 else library.recsys_parquet_deltas_32
    return found[: put(at(numbers), i64(len(numbers)), at(found))]


def dense(
    library: ctypes.CDLL, numbers: NDArray[np.uint32], size: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Numbers below `size` anew, as if those that do not occur were none; and those that occur, ascending."""
    codes, places, met = (np.empty(length, np.uint32) for length in (len(numbers), size, size))
    found = library.recsys_parquet_dense(at(numbers), i64(len(numbers)), i64(size), at(places), at(met), at(codes))
    return codes, met[:found]


def plain_texts(library: ctypes.CDLL, data: bytes, sizes: NDArray[np.uint32]) -> Bytes:
    """Texts that stand one after the other, each after its size (PLAIN)."""
    found = np.empty(len(data) + 4 * len(sizes), np.uint8)
    library.recsys_parquet_texts(ctypes.c_char_p(data), at(sizes), i64(len(sizes)), at(found))
    return found


def few(library: ctypes.CDLL, numbers: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]] | None:
    """Values, each once, and of each number the place of its value; None where there are more than `MOST_FEW`."""
    values, codes = np.empty(MOST_FEW, np.uint32), np.empty(len(numbers), np.uint32)
    met = library.recsys_parquet_few(at(numbers), i64(len(numbers)), i64(MOST_FEW), at(values), at(codes))
    return None if met < 0 else (values[:met], codes)
