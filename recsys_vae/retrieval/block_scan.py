"""Exact search in a `BlockFile` in float32, block by block: where nothing is compiled that multiplies 8-bit integers.

Bounds of blocks leave out those that cannot hold any of the best. Within a block, places ascend with item rows, so ties
go to the smaller row.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.native import top_k as compiled
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array, TopK
from recsys_vae.retrieval.block_file import BlockFile
from recsys_vae.top_k import top_k

FEW = 64
"""Allowed items of a block up to which each is read by itself."""


def scan(file: BlockFile, queries: Float32Array, k: int, allowed: BoolArray | None, hidden: csr_array | None) -> TopK:
    """The k best of each query.

    Args:
        file: of the items.
        queries: shape (n, d) float32.
        k: at least 1.
        allowed: shape (n_items,) by item row; all when None.
        hidden: shape (n, n_items) by place, sorted: what each query may not find.
    """
    n = len(queries)
    found = TopK(np.full((n, k), -1, dtype=np.int64), np.full((n, k), -np.inf, dtype=np.float32))
    bounds = _bounds(file.blocks, queries)
    for block in np.argsort(-np.nan_to_num(bounds, nan=np.inf).max(axis=1, initial=-np.inf), kind="stable").tolist():
        asking = np.flatnonzero(~(bounds[block] < found.scores[:, -1]))
        if len(asking):
            _visit(file, block, queries, asking, allowed, hidden, found)
    return found


def _visit(
    file: BlockFile,
    block: int,
    queries: Float32Array,
    asking: Int64Array,
    allowed: BoolArray | None,
    hidden: csr_array | None,
    found: TopK,
) -> None:
    """Let some queries take what is good enough from a block."""
    first = block * file.block_size
    rows = file.rows[first : first + file.block_size]
    wanted = np.arange(len(rows)) if allowed is None else np.flatnonzero(allowed[rows])
    if not len(wanted):
        return
    excluded = None if hidden is None else csr_array(hidden[asking][:, first : first + len(rows)][:, wanted])
    here = _best(queries[asking], _vectors(file, first, wanted, len(rows)), found.rows.shape[1], excluded)
    numbers = np.where(here.rows < 0, -1, np.append(rows[wanted], -1)[here.rows])
    both = np.hstack([found.rows[asking], numbers])
    scores = np.hstack([found.scores[asking], here.scores])
    order = np.lexsort((both, -scores), axis=1)[:, : found.rows.shape[1]]
    found.rows[asking] = np.take_along_axis(both, order, axis=1)
    found.scores[asking] = np.take_along_axis(scores, order, axis=1)


def _vectors(file: BlockFile, first: int, wanted: NDArray[np.int64], size: int) -> Float32Array:
    if len(wanted) <= FEW:
        return np.concatenate([file.vectors(first + place, first + place + 1) for place in wanted.tolist()])
    vectors = file.vectors(first, first + size)
    return vectors if len(wanted) == size else vectors[wanted]


def _best(queries: Float32Array, vectors: Float32Array, k: int, excluded: csr_array | None) -> TopK:
    if compiled.suits(len(queries), k, steady=True):
        return compiled.search(queries, vectors, k, None, excluded)
    with np.errstate(over="ignore", invalid="ignore"):
        scores = queries @ vectors.T
    scores[np.isnan(scores)] = -np.inf
    return top_k(scores, k, excluded=excluded)


def _bounds(blocks: Float32Array, queries: Float32Array) -> NDArray[np.float64]:
    """What no item of a block can exceed, shape (n_blocks, n); NaN where a query's numbers are none."""
    with np.errstate(over="ignore", invalid="ignore"):
        numbers, facts = queries.astype(np.float64), blocks.astype(np.float64)
        heads, norms = np.linalg.norm(numbers[:, :-1], axis=1), np.linalg.norm(numbers, axis=1)
        bias = np.maximum(np.outer(facts[:, 1], numbers[:, -1]), np.outer(facts[:, 2], numbers[:, -1]))
        return np.asarray(
            (np.outer(facts[:, 0], heads) + np.outer(facts[:, 3], norms)) * (1 + 1e-6) + bias + 1e-6 * np.abs(bias)
        )
