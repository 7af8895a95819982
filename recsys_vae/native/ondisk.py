"""The k largest inner products of vectors that lie in a file, compiled (ondisk.cpp).

Bounds of blocks and of 8-bit codes say which vectors can be among the best; only these are read and scored in float32.
"""

import ctypes
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import RetrievalError
from recsys_vae.native.library import library, loaded, threads
from recsys_vae.native.quantised import MOST_CANDIDATES
from recsys_vae.native.top_k import LARGEST_K, address, nothing_yet
from recsys_vae.protocols import BoolArray, Float32Array, TopK

Int32Array = NDArray[np.int32]
UNREADABLE = "Vectors of an index on disk can no longer be read: its file was cut short or its disk fails."


class BlockFile(Protocol):
    """What is searched: all by place, blocks of `block_size` places; see ondisk.cpp."""

    high: NDArray[np.uint8]
    low: NDArray[np.uint8]
    leads: Float32Array
    rest: Float32Array
    rows: Int32Array
    blocks: Float32Array
    shape: tuple[int, int]
    block_size: int
    descriptor: int
    start: int


def suits(k: int) -> bool:
    """Whether the k best are to be found here."""
    return k <= LARGEST_K and library() is not None and bool(loaded().recsys_quantised_suits())


def rows_of(allowed: BoolArray, most: int) -> Int32Array | None:
    """Rows of allowed items, ascending; None where they are more than `most`.

    Args:
        allowed: shape (n_items,).
        most: of them.
    """
    allowed, found = np.ascontiguousarray(allowed), np.empty(most, dtype=np.int32)
    count = loaded().recsys_ondisk_rows
    count.restype = ctypes.c_int64
    n = count(address(allowed), ctypes.c_int64(len(allowed)), ctypes.c_int64(most), address(found))
    return None if n < 0 else found[:n]


def gather(file: BlockFile, places: Int32Array, out: Float32Array) -> None:
    """Read vectors of some places, ascending, into `out`, shape (n, d).

    Raises:
        RetrievalError: the file can no longer be read.
    """
    failed = loaded().recsys_ondisk_gather(
        ctypes.c_int(file.descriptor),
        *(ctypes.c_int64(number) for number in (file.start, file.shape[1])),
        address(places),
        ctypes.c_int64(len(places)),
        address(out),
    )
    if failed:
        raise RetrievalError(UNREADABLE)


def copied(
    file: BlockFile, places: Int32Array
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Float32Array, Float32Array, Int32Array]:
    """High and low halves of codes, leads, rest and rows of some places."""
    parts = (file.high, file.low, file.leads, file.rest, file.rows)
    found = tuple(np.empty((len(places), *part.shape[1:]), part.dtype) for part in parts)
    loaded().recsys_ondisk_copy(
        *(address(part) for part in parts),
        ctypes.c_int64(file.high.shape[1]),
        address(places),
        ctypes.c_int64(len(places)),
        *(address(part) for part in found),
    )
    high, low, leads, rest, rows = found
    return high, low, leads, rest, rows


def search(
    queries: Float32Array,
    file: BlockFile,
    k: int,
    places: Int32Array | None,
    bits: NDArray[np.uint8] | None,
    hidden: tuple[NDArray[np.int64], Int32Array] | None,
    *,
    origins: Int32Array | None = None,
    vectors: Float32Array | None = None,
) -> tuple[TopK, BoolArray, NDArray[np.int64]]:
    """The k best of each query, as `native.top_k.search` finds them.

    Args:
        queries: shape (n, d) float32.
        file: of the items.
        k: between 1 and LARGEST_K.
        places: ascending, of the items that may come back; all when None.
        bits: of the same, one an item by row, the lowest of a byte first; used where places are None.
        hidden: places that each query may not find: where each query's start, shape (n + 1,), and these, ascending.
        origins: of items that were copied from a larger file, the place of each there, where its vector lies.
        vectors: of all places, shape (n_items, d), where they are in memory.

    Returns:
        What was found; which queries have to be scanned for in float32, as bounds say nothing of their numbers; at
        how many items' codes tiles of queries looked, at how many in 8 bits, and how many queries at vectors.

    Raises:
        RetrievalError: the file can no longer be read.
    """
    n, (n_items, d), queries = len(queries), file.shape, np.ascontiguousarray(queries)
    found, is_open, counts = nothing_yet(n, k), np.zeros(n, dtype=np.bool_), np.zeros(3, dtype=np.int64)
    starts, left_out = (None, None) if hidden is None else hidden
    failed = loaded().recsys_ondisk_top_k(
        address(queries),
        ctypes.c_int64(n),
        *(address(array) for array in (file.high, file.low, file.leads, file.rest, file.rows, file.blocks)),
        *(ctypes.c_int64(number) for number in (n_items, d, file.high.shape[1], file.block_size)),
        ctypes.c_int(file.descriptor),
        ctypes.c_int64(file.start),
        *(address(array) for array in (origins, vectors, places)),
        ctypes.c_int64(0 if places is None else places.size),
        *(address(array) for array in (bits, starts, left_out)),
        ctypes.c_int64(k),
        ctypes.c_int64(max(MOST_CANDIDATES, 32 * k)),
        *(address(array) for array in (found.rows, found.scores, is_open, counts)),
        ctypes.c_int(threads()),
    )
    if failed:
        raise RetrievalError(UNREADABLE)
    return found, is_open, counts
