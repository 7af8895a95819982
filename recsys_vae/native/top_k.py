"""The k largest inner products, compiled (top_k.cpp): scores are compared as they are made and never written."""

import ctypes
import sys

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.native.library import library, loaded, threads
from recsys_vae.protocols import BoolArray, Float32Array, TopK

LARGEST_K = 4096
"""Above it candidates no longer stay in the cache, and a whole row of scores is as good."""


FEWEST_QUERIES = 4
"""Below it most lanes of a vector would be idle, and a plain product is as fast or faster, where torch is loaded."""


def suits(n: int, k: int, *, steady: bool = False) -> bool:
    """Whether the k best of n queries are to be found here; `steady` has as many found here whatever n."""
    is_fast = steady or n >= FEWEST_QUERIES or "torch" not in sys.modules
    return is_fast and k <= LARGEST_K and library() is not None


def search(
    queries: Float32Array, vectors: Float32Array, k: int, allowed: BoolArray | None, excluded: csr_array | None
) -> TopK:
    """The k best allowed items of each query, best first, ties by item row; what is NaN or -inf never comes back.

    Products are summed in float32, one dimension after the other.

    Args:
        queries: shape (n, d) float32.
        vectors: shape (n_items, d) float32.
        k: between 1 and LARGEST_K.
        allowed: shape (n_items,); all when None.
        excluded: shape (n, n_items), sorted indices.
    """
    n, d = queries.shape
    queries, vectors = np.ascontiguousarray(queries), np.ascontiguousarray(vectors)
    choice, found = Choice(allowed, excluded), nothing_yet(n, k)
    loaded().recsys_top_k(
        address(queries),
        ctypes.c_int64(n),
        address(vectors),
        ctypes.c_int64(len(vectors)),
        ctypes.c_int64(d),
        *choice.arguments(),
        ctypes.c_int64(k),
        address(found.rows),
        address(found.scores),
        ctypes.c_int(threads()),
    )
    return found


class Choice:
    """Items that may come back, as compiled code takes them: shapes as in `search`."""

    def __init__(self, allowed: BoolArray | None, excluded: csr_array | None) -> None:
        self._wanted = None if allowed is None else np.flatnonzero(allowed).astype(np.int64)
        self._starts = None if excluded is None else excluded.indptr.astype(np.int64)
        self._left_out = None if excluded is None else excluded.indices.astype(np.int32)

    def arguments(self) -> tuple[ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]:
        """Wanted rows and their number, where each query's excluded rows start, and these; valid as long as this is."""
        count = 0 if self._wanted is None else self._wanted.size
        return address(self._wanted), ctypes.c_int64(count), address(self._starts), address(self._left_out)


def nothing_yet(n: int, k: int) -> TopK:
    """Room for the k best of n queries."""
    return TopK(np.empty((n, k), dtype=np.int64), np.empty((n, k), dtype=np.float32))


def address(array: NDArray[np.generic] | None) -> ctypes.c_void_p:
    """Pointer to an array's first element; null for None."""
    return ctypes.c_void_p(None if array is None else array.ctypes.data)
