"""Whether an index that was read from a file can be searched: FAISS follows its row numbers without looking."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import RetrievalError
from recsys_vae.extras import Deferred

faiss: Any = Deferred("faiss")
ROUNDING = 1e-4
"""How far apart vectors may be that two machines compute, as a share of the greatest number in them."""
ROWS_AT_ONCE = 65_536
CLASSES = {
    "flat": ("IndexFlatIP", "IndexFlat"),
    "hnsw": ("IndexHNSWFlat",),
    "ivf": ("IndexIVFFlat",),
    "ivfpq": ("IndexIVFPQ",),
}


def check_sound(index: Any, kind: str) -> None:
    """Check what an index holds.

    Raises:
        RetrievalError: it is of another kind, its numbers are not finite, or its rows are out of range.
    """
    inner, distance = faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2
    metrics = {"flat": (inner,), "hnsw": (inner, distance)}.get(kind, (distance,))
    name = type(index).__name__
    if name not in CLASSES[kind] or index.metric_type not in metrics:
        raise RetrievalError(f"The index is a {name} of metric {index.metric_type}, expected one of kind {kind}.")
    if kind == "flat":
        _check_vectors(index, index.ntotal, index.d)
    elif kind == "hnsw":
        _require(index.storage.metric_type == index.metric_type)
        _check_vectors(index.storage, index.ntotal, index.d)
        _check_graph(index.hnsw, index.ntotal)
    else:
        _check_vectors(index.quantizer, index.nlist, index.d)
        _check_codebook(index) if kind == "ivfpq" else _require(index.code_size == 4 * index.d)
        _check_lists(index, holds_numbers=kind == "ivf")


def check_same(held: NDArray[np.float32], vectors: NDArray[np.float32]) -> None:
    """Check that an index holds the vectors of the model that it came with, up to rounding.

    Args:
        held: vectors of the index, shape (n, d).
        vectors: those of the model, shape (n, d).

    Raises:
        RetrievalError: it holds others; scores would be theirs, and could be infinite.
    """
    if not held.size:
        return
    largest = float(np.abs(vectors).max())
    for start in range(0, len(held), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        check_close(held[rows], vectors[rows], largest)


def check_close(held: NDArray[np.float32], vectors: NDArray[np.float32], largest: float) -> None:
    """The same of some of them, `largest` being the greatest number in all; shapes (n, d), n above 0."""
    with np.errstate(over="ignore"):
        apart = np.abs(held - vectors).max()
    if not apart <= ROUNDING * largest:
        raise RetrievalError(f"The index holds other vectors than the model has: they differ by {apart:g}.")


def _check_vectors(index: Any, n: int, d: int) -> None:
    flat = faiss.downcast_index(index)
    if not isinstance(flat, faiss.IndexFlat) or (flat.ntotal, flat.d) != (n, d) or flat.codes.size() != 4 * n * d:
        raise RetrievalError(f"The index does not hold {n} vectors of width {d}.")
    if n and not np.isfinite(faiss.rev_swig_ptr(flat.get_xb(), n * d)).all():
        raise RetrievalError("The index holds numbers that are not finite.")


def _check_graph(graph: Any, n: int) -> None:
    """Every node has a place for its neighbours on each of its levels, and these are nodes of that level."""
    levels, offsets, neighbours = (
        faiss.vector_to_array(part).astype(np.int64) for part in (graph.levels, graph.offsets, graph.neighbors)
    )
    if not n:
        return
    _require(len(levels) == n and levels.min() >= 1 and len(offsets) == n + 1 and offsets[0] == 0)
    _require(graph.cum_nneighbor_per_level.size() > levels.max())
    upto = faiss.vector_to_array(graph.cum_nneighbor_per_level).astype(np.int64)
    _require(upto[0] == 0 and bool((np.diff(upto) >= 0).all()))
    _require(bool((np.diff(offsets) == upto[levels]).all()) and offsets[-1] == len(neighbours))
    _require(neighbours.min(initial=-1) >= -1 and neighbours.max(initial=-1) < n)
    _require(0 <= graph.entry_point < n and 0 <= graph.max_level < levels[graph.entry_point])
    _require(graph.efSearch >= 1)
    for level in range(1, int(levels.max())):
        nodes = np.flatnonzero(levels > level)
        found = neighbours[offsets[nodes][:, None] + np.arange(upto[level], upto[level + 1])]
        _require(bool((levels[found[found >= 0]] > level).all()))


def _check_codebook(index: Any) -> None:
    """Whatever a code says, it names a centroid of numbers that are finite."""
    book = index.pq
    _require(book.nbits in (4, 8) and book.ksub == 1 << book.nbits and book.M * book.dsub == book.d == index.d)
    _require(book.centroids.size() == book.M * book.ksub * book.dsub)
    _require(index.code_size == book.code_size == -(-book.M * book.nbits // 8))
    if not np.isfinite(faiss.vector_to_array(book.centroids)).all():
        raise RetrievalError("The index holds numbers that are not finite.")


def _check_lists(index: Any, *, holds_numbers: bool) -> None:
    lists = index.invlists
    _require(1 <= index.nprobe <= index.nlist == lists.nlist and index.code_size == lists.code_size)
    rows = [_rows_of(lists, number) for number in range(index.nlist)]
    _require(np.array_equal(np.sort(np.concatenate(rows)), np.arange(index.ntotal)))
    if not holds_numbers:
        return
    for number, own in enumerate(rows):
        codes = faiss.rev_swig_ptr(lists.get_codes(number), len(own) * lists.code_size) if len(own) else np.zeros(0)
        if not np.isfinite(codes.view(np.float32)).all():
            raise RetrievalError("The index holds numbers that are not finite.")


def _rows_of(lists: Any, number: int) -> NDArray[np.int64]:
    size = lists.list_size(number)
    if not size:
        return np.zeros(0, dtype=np.int64)
    return np.array(faiss.rev_swig_ptr(lists.get_ids(number), size), dtype=np.int64)


def _require(holds: bool) -> None:
    if not holds:
        raise RetrievalError("The index refers to vectors that it does not hold.")
