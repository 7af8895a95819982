"""FaissIndex: flat, HNSW, IVF and IVF-PQ indexes behind the Index contract. Only this file and
soundness.py import faiss.

Flat is exact: it scans every vector. The others answer from a part of the vectors. They find nearest neighbours in
Euclidean distance, so the vectors get one more coordinate, sqrt(M^2 - ||v||^2) with M the largest norm, and queries a
zero there: then both orders agree (Bachrach et al., Speeding Up the Xbox Recommender System, RecSys 2014, section 3.2).
Where norms differ much, a graph of inner products (Morozov and Babenko, NeurIPS 2018) finds more, where a bias stands
out, far less: both are tried on some items. Nodes keep as many neighbours as there is room for: those that FAISS drops
by default as they lie behind another lead to the long vectors, which lists are made of.

Whatever a filter or an approximation leaves open is answered by an exact scan of the allowed vectors, so that k allowed
items come back whenever k exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.arrays import is_mapped
from recsys_vae.errors import ConfigError, RetrievalError, UnknownNameError
from recsys_vae.extras import Deferred, is_installed
from recsys_vae.mapped import Keep, as_made
from recsys_vae.native.quantised import Quantised
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array, TopK
from recsys_vae.retrieval.exact import TorchIndex, check_queries
from recsys_vae.retrieval.soundness import check_same, check_sound
from recsys_vae.top_k import check_k

faiss: Any = Deferred("faiss")
KINDS = ("flat", "hnsw", "ivf", "ivfpq")
LINKS = 32
"""Neighbours of an item in a graph, twice as many on its lowest level."""
CODE_DIMENSIONS = 8
"""Dimensions that one code of a product quantizer is for: 16 bytes hold a vector of 128."""
REFINED = 8
"""Times as many candidates as are wanted that an index of codes is asked for; the vectors themselves order them."""
FULL_CODEBOOK, SMALLEST_CODEBOOK = 39 * 256, 16
"""Vectors below which codes have 4 bits instead of 8, for FAISS wants 39 a centroid; and below which there are none."""
GPU_K_LIMIT = 2048
"""GPU indexes return at most this many neighbours."""
FLAT_QUERIES = 1
"""Queries at a time up to which FAISS's flat scan on a CPU is faster than the exact scorer. Over 41,000 items of 65,
201 and 601 dimensions, on one thread, it took 0.3 to 0.6 of the time for one query, 0.8 to 1.3 for two, 2.5 to 5.5 for
eight. The exact scorer with 8-bit codes was faster for one query too (0.9 against 1.3 ms at 201 dimensions), and is
always asked: its scores do not depend on the batch."""
TRIED_ON = 10_000
"""Items on which both kinds of graph are tried."""
EF_SEARCH = (256, 512, 1024, 2048, 4096)
"""Candidates of a graph's search, of which the fewest that reach the recall asked for are taken."""
SELECTIVITIES = (1.0, 0.5, 0.2, 0.1)
"""Shares of allowed items at which an approximate index is measured when it is built."""


@dataclass(frozen=True)
class IndexReport:
    """What was measured when an index was built.

    Attributes:
        kind: flat, hnsw, ivf or ivfpq.
        recall: share of the exact top k that it finds, unfiltered; 1 for flat.
        min_selectivity: smallest measured share of allowed items at which the recall still meets the target; queries
            that allow less are answered by an exact scan. 0 for flat.
    """

    kind: str
    recall: float
    min_selectivity: float


class FaissIndex:
    """One FAISS index together with the exact scorer over the same vectors.

    Args:
        index: FAISS's; None for a flat one that would never be asked, as the exact scorer is faster.
        vectors: shape (n_items, d) float32.
        report: what was measured.
        keep: keeps what the exact scorer makes of the vectors.
    """

    def __init__(self, index: Any, vectors: Float32Array, report: IndexReport, keep: Keep = as_made) -> None:
        self._index = index
        self._vectors = vectors
        self._exact = TorchIndex(vectors, keep=keep)
        self.report = report
        self._refined = REFINED if report.kind == "ivfpq" else 1
        self.name = f"faiss-{report.kind}"

    @property
    def n_items(self) -> int:
        """Number of vectors."""
        return len(self._vectors)

    @property
    def vectors(self) -> Float32Array:
        """What is searched, shape (n_items, d)."""
        return self._vectors

    @property
    def is_steady(self) -> bool:
        """Whether the exact scorer gives a query the same scores in any batch; then it is always asked."""
        return self._exact.is_steady

    @property
    def in_8_bits(self) -> Quantised | None:
        """The vectors with their codes, where every search is of these; else None."""
        is_flat = self.report.kind == "flat" and not _is_gpu(self._index)
        return self._exact.in_8_bits if is_flat else None

    def search(
        self, queries: Float32Array, k: int, allowed: BoolArray | None = None, excluded: csr_array | None = None
    ) -> TopK:
        """The k best allowed items of each query; see `protocols.Index`."""
        check_k(k)
        check_queries(queries, self._vectors.shape[1])
        longest = int(np.diff(excluded.indptr).max(initial=0)) if excluded is not None else 0
        fetch = k + longest + 1
        if not self._worth_asking(len(queries), fetch, allowed):
            return self._exact.search(queries, k, allowed, excluded)
        candidates = self._candidates(queries, fetch, allowed)
        found, open_rows = _settle(candidates, k, excluded)
        if len(open_rows):
            mask = None if excluded is None else excluded[open_rows]
            exact = self._exact.search(queries[open_rows], k, allowed, mask)
            found.rows[open_rows], found.scores[open_rows] = exact.rows, exact.scores
        return found

    def save(self, path: Path) -> None:
        """Write in FAISS's own format; indexes on a GPU are copied to the CPU first."""
        index = _flat_over(self._vectors) if self._index is None else self._index
        index = faiss.index_gpu_to_cpu(index) if _is_gpu(index) else index
        faiss.write_index(index, str(path))

    def _worth_asking(self, n: int, fetch: int, allowed: BoolArray | None) -> bool:
        if fetch >= self.n_items or (_is_gpu(self._index) and fetch > GPU_K_LIMIT):
            return False
        if self.report.kind == "flat" and not _is_gpu(self._index):
            return n <= FLAT_QUERIES and allowed is None and not self.is_steady
        return allowed is None or bool(allowed.mean() >= max(self.report.min_selectivity, fetch / self.n_items))

    def _candidates(self, queries: Float32Array, fetch: int, allowed: BoolArray | None) -> TopK:
        parameters = self._parameters(fetch, allowed)
        if self.report.kind == "flat":
            scores, rows = self._index.search(queries, fetch, params=parameters)
            return TopK(rows, scores)
        padded = np.zeros((len(queries), self._index.d), dtype=np.float32)
        padded[:, : queries.shape[1]] = queries
        _, rows = self._index.search(padded, min(self.n_items, self._refined * fetch), params=parameters)
        return TopK(rows, self._rescore(queries, rows))

    def _rescore(self, queries: Float32Array, rows: Int64Array) -> Float32Array:
        scores = np.einsum("nd,nkd->nk", queries, self._vectors[rows], dtype=np.float32)
        scores[rows < 0] = -np.inf
        return np.asarray(scores, dtype=np.float32)

    def _parameters(self, fetch: int, allowed: BoolArray | None) -> Any:
        selector = None
        if allowed is not None:
            selector = faiss.IDSelectorBatch(np.flatnonzero(allowed).astype(np.int64))
        if self.report.kind == "hnsw":
            return faiss.SearchParametersHNSW(sel=selector, efSearch=max(self._index.hnsw.efSearch, 2 * fetch))
        if self.report.kind in ("ivf", "ivfpq"):
            return faiss.SearchParametersIVF(sel=selector, nprobe=self._index.nprobe)
        return faiss.SearchParameters(sel=selector) if selector is not None else None


def build_index(
    vectors: Float32Array, kind: str = "flat", *, queries: Float32Array | None = None, min_recall: float = 0.99
) -> FaissIndex:
    """Build an index over item vectors; an approximate one is measured against the exact scan first.

    Args:
        vectors: shape (n_items, d) float32.
        kind: flat, hnsw, ivf or ivfpq.
        queries: shape (n, d), as they will be asked; approximate kinds need them.
        min_recall: recall@100 that an approximate index must reach on `queries`.

    Raises:
        UnknownNameError: no such kind.
        RetrievalError: an approximate index misses `min_recall`, or there are no queries to measure it with.
    """
    check_index(kind, min_recall)
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if kind == "flat":
        return _flat(_flat_over(vectors), vectors)
    if queries is None or not len(queries):
        raise RetrievalError(
            f"An index of kind {kind} is measured when it is built: pass the queries to measure it with."
        )
    if kind == "ivfpq" and len(vectors) < SMALLEST_CODEBOOK:
        raise RetrievalError(
            f"An index of kind ivfpq takes at least {SMALLEST_CODEBOOK} items, got {len(vectors)}: use flat."
        )
    index = _graph(vectors, queries) if kind == "hnsw" else _clusters(vectors, kind)
    measured = FaissIndex(index, vectors, IndexReport(kind, 1.0, 0.0))
    return FaissIndex(index, vectors, _measure(measured, queries, min_recall))


def check_index(kind: str, min_recall: float, kinds: Sequence[str] = KINDS) -> None:
    """Check what `build_index`, or whatever knows more kinds, will be asked for.

    Raises:
        UnknownNameError: no such kind.
        ConfigError: `min_recall` is no share.
    """
    if kind not in kinds:
        raise UnknownNameError("index", kind, kinds)
    if not 0 < min_recall <= 1:
        raise ConfigError(f"min_recall is a share, above 0 and at most 1; got {min_recall}.")


def load_index(
    path: Path, vectors: Float32Array, report: IndexReport, keep: Keep = as_made, *, kinds: Sequence[str] = KINDS
) -> FaissIndex | TorchIndex:
    """Read an index over `vectors`, shape (n_items, d), that `save` wrote.

    Without FAISS a flat one is not read: the exact scorer finds the same items by the same vectors.

    Args:
        path: of the file.
        vectors: of the items.
        report: what was measured.
        keep: keeps what is made of the vectors; mapped vectors are searched where they are, without FAISS's copy.

    Raises:
        MissingExtraError: an approximate index, and FAISS is not installed.
        UnknownNameError: the report names no kind of index.
        RetrievalError: the file is not an index over that many vectors of that width, a flat one holds other vectors,
            or it cannot be searched safely.
    """
    if report.kind not in KINDS:
        raise UnknownNameError("index", report.kind, kinds)
    if not (0 <= report.recall <= 1 and 0 <= report.min_selectivity <= 1):
        raise RetrievalError(f"Recall and selectivity of an index are shares, got {report}.")
    if report.kind == "flat" and not is_installed("faiss"):
        return TorchIndex(vectors, keep=keep)
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise RetrievalError(f"FAISS cannot read {path}: {error}") from error
    width = width_in(vectors.shape[1], report.kind, index.metric_type)
    if (index.ntotal, index.d) != (len(vectors), width):
        raise RetrievalError(
            f"{path} holds {index.ntotal} vectors of width {index.d}, expected {len(vectors)} of width {width}."
        )
    check_sound(index, report.kind)
    if report.kind != "flat":
        return FaissIndex(index, vectors, report, keep)
    check_same(faiss.rev_swig_ptr(index.get_xb(), vectors.size).reshape(vectors.shape), vectors)
    if is_mapped(vectors) and not _has_gpus():
        shared = FaissIndex(None, vectors, report, keep)
        if shared.is_steady:
            return shared
    return _flat(index, vectors)


def build_name() -> str:
    """Version and kind of the FAISS build, for people."""
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    kind = "GPU" if hasattr(faiss, "StandardGpuResources") else "CPU"
    return f"{faiss.__version__} ({kind} build, {gpus} GPUs in use)"


def _settle(candidates: TopK, k: int, excluded: csr_array | None) -> tuple[TopK, Int64Array]:
    """Drop what is excluded, order by (score, row), cut at k; also the rows that need an exact scan.

    These are the rows with fewer than k left, and those where equal scores straddle the border, among which the choice
    would be arbitrary.
    """
    rows, scores = candidates.rows.copy(), candidates.scores.copy()
    scores[(rows < 0) | _is_excluded(rows, excluded)] = -np.inf
    order = np.lexsort((rows, -scores), axis=1)[:, : k + 1]
    rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    is_open = np.isneginf(scores[:, k - 1]) | (scores[:, k] == scores[:, k - 1])
    return TopK(rows[:, :k].copy(), scores[:, :k].copy()), np.flatnonzero(is_open)


def _is_excluded(rows: Int64Array, excluded: csr_array | None) -> BoolArray:
    if excluded is None or not excluded.nnz:
        return np.zeros(rows.shape, dtype=np.bool_)
    n, width = excluded.shape
    keys = np.repeat(np.arange(n, dtype=np.int64), np.diff(excluded.indptr)) * width + excluded.indices
    wanted = np.arange(n, dtype=np.int64)[:, None] * width + rows
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.asarray(keys[places] == wanted)


def width_in(d: int, kind: str, metric: int | None = None) -> int:
    """Width of what an index, of some metric, holds of vectors of width d."""
    if kind == "flat" or (kind == "hnsw" and metric == faiss.METRIC_INNER_PRODUCT):
        return d
    return d + 1 if kind != "ivfpq" else -(-(d + 1) // CODE_DIMENSIONS) * CODE_DIMENSIONS


def _augmented(vectors: Float32Array, width: int) -> Float32Array:
    """Vectors with one more coordinate, as above, filled up with zeros to a width."""
    n, d = vectors.shape
    squares = np.einsum("nd,nd->n", vectors, vectors)
    found = np.zeros((n, width), dtype=np.float32)
    found[:, :d], found[:, d] = vectors, np.sqrt(np.maximum(squares.max() - squares, 0.0))
    return found


def lists_of(n: int) -> int:
    """Clusters that so many vectors are divided into."""
    return max(1, min(n // 39, int(4 * np.sqrt(n))))


def code_bits(n: int) -> int:
    """Bits of a code where so many vectors train the codebooks."""
    return 8 if n >= FULL_CODEBOOK else 4


def _clusters(vectors: Float32Array, kind: str) -> Any:
    vectors = _augmented(vectors, width_in(vectors.shape[1], kind))
    n_lists, bits = lists_of(len(vectors)), code_bits(len(vectors))
    codes = "Flat" if kind == "ivf" else f"PQ{vectors.shape[1] // CODE_DIMENSIONS}x{bits}"
    index = faiss.index_factory(vectors.shape[1], f"IVF{n_lists},{codes}", faiss.METRIC_L2)
    index.nprobe = max(1, n_lists // 4)
    index.train(vectors)
    index.add(vectors)
    return index


def _graph(vectors: Float32Array, queries: Float32Array) -> Any:
    """Of distances or of inner products, whichever finds more where it is tried on some vectors."""
    some = vectors[np.sort(np.random.default_rng(0).permutation(len(vectors))[:TRIED_ON])]
    k, found = min(100, len(some)), {}
    for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
        index = FaissIndex(_graph_of(some, metric), some, IndexReport("hnsw", 1.0, 0.0))
        found[metric] = _recall(index, queries, k, 1.0)
    return _graph_of(vectors, max(found, key=lambda metric: found[metric]))


def _graph_of(vectors: Float32Array, metric: int) -> Any:
    if metric == faiss.METRIC_L2:
        vectors = _augmented(vectors, vectors.shape[1] + 1)
    index = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, metric)
    index.hnsw.efConstruction, index.hnsw.efSearch = 200, EF_SEARCH[0]
    index.keep_max_size_level0 = True
    index.add(vectors)
    return index


def _measure(index: FaissIndex, queries: Float32Array, min_recall: float) -> IndexReport:
    kind, k = index.report.kind, min(100, index.n_items)
    for candidates in EF_SEARCH if kind == "hnsw" else ():
        index._index.hnsw.efSearch = candidates
        if _recall(index, queries, k, 1.0) >= min_recall:
            break
    recalls = {share: _recall(index, queries, k, share) for share in SELECTIVITIES}
    if recalls[1.0] < min_recall:
        raise RetrievalError(
            f"The {kind} index finds {recalls[1.0]:.4f} of the exact top {k}, below the target of {min_recall}. Use "
            "--index flat, which is exact, or lower --min-recall."
        )
    served = [share for share in SELECTIVITIES if all(recalls[s] >= min_recall for s in SELECTIVITIES if s >= share)]
    return IndexReport(kind, recalls[1.0], min(served))


def _recall(index: FaissIndex, queries: Float32Array, k: int, selectivity: float) -> float:
    allowed = None if selectivity == 1.0 else np.random.default_rng(0).random(index.n_items) < selectivity
    exact = index._exact.search(queries, k, allowed).rows
    found = index._candidates(queries, k, allowed).rows
    hits = sum(len(np.intersect1d(a[a >= 0], b)) for a, b in zip(exact, found, strict=True))
    return hits / max(1, int((exact >= 0).sum()))


def _flat_over(vectors: Float32Array) -> Any:
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


def _flat(index: Any, vectors: Float32Array) -> FaissIndex:
    """A flat index, on a GPU where there is one; on the CPU the exact scorer shares the index's own memory."""
    report = IndexReport("flat", 1.0, 0.0)
    on_gpu = _to_gpu(index)
    if _is_gpu(on_gpu):
        return FaissIndex(on_gpu, vectors, report)
    return FaissIndex(index, faiss.rev_swig_ptr(index.get_xb(), vectors.size).reshape(vectors.shape), report)


def _has_gpus() -> bool:
    return hasattr(faiss, "StandardGpuResources") and bool(faiss.get_num_gpus())


def _is_gpu(index: Any) -> bool:
    return type(index).__name__.startswith("Gpu")


def _to_gpu(index: Any) -> Any:
    if not _has_gpus():
        return index
    return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
