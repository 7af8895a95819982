"""Lists and the places of targets, compiled (ranks.cpp): what an evaluation asks for, without a row of scores."""

import ctypes

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.native.library import loaded, threads
from recsys_vae.native.quantised import SMALLEST, Quantised, most_candidates
from recsys_vae.native.top_k import LARGEST_K, Choice, address
from recsys_vae.protocols import NEVER, Float32Array, Ranks


def suits(k: int, items: Quantised) -> bool:
    """Whether lists of k are to be found here."""
    return k <= LARGEST_K and items.vectors.size >= SMALLEST


def ranks(queries: Float32Array, items: Quantised, k: int, hidden: csr_array, targets: csr_array) -> Ranks:
    """The k best items of each query that are not hidden, and the place of its best target among all of these.

    Both are those of a scan of all vectors as `native.top_k` sums, ties by item row.

    Args:
        queries: shape (n, d) float32, finite.
        items: the vectors, with codes.
        k: at least 1, where it `suits`.
        hidden: shape (n, n_items), sorted indices.
        targets: likewise.
    """
    (n, d), queries = queries.shape, np.ascontiguousarray(queries)
    found = Ranks(np.empty((n, k), np.int64), np.full(n, NEVER, np.int64), np.ones(n, np.bool_))
    masks = [Choice(None, matrix) for matrix in (hidden, targets)]
    loaded().recsys_ranks(
        address(queries),
        ctypes.c_int64(n),
        address(items.vectors),
        address(items.codes),
        address(items.facts),
        ctypes.c_int64(len(items.vectors)),
        ctypes.c_int64(d),
        *masks[0].arguments()[2:],
        *masks[1].arguments()[2:],
        ctypes.c_int64(k),
        ctypes.c_int64(most_candidates(k)),
        address(found.rows),
        address(found.first),
        ctypes.c_int(threads()),
    )
    return found
