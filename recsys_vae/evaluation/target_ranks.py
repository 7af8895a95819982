"""Where targets stand: in lists, and in the whole catalogue by all scores."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.evaluation import entries
from recsys_vae.protocols import NEVER, BoolArray, Float32Array, Int64Array


def look_up(rows: Int64Array, targets: csr_array) -> tuple[BoolArray, NDArray[np.int32]]:
    """Which recommended items are targets, shape (n, depth), and at which rank each target stands, shape (nnz,)."""
    n, depth = rows.shape
    keys = rows + np.arange(n, dtype=np.int64)[:, None] * targets.shape[1]
    places = np.where(rows >= 0, entries.find_entries(targets, keys), -1)
    hits = places >= 0
    ranks = np.zeros(targets.nnz, dtype=np.int32)
    ranks[places[hits]] = np.broadcast_to(np.arange(1, depth + 1, dtype=np.int32), (n, depth))[hits]
    return hits, ranks


def first_ranks(scores: Float32Array, hidden: csr_array, targets: csr_array) -> Int64Array:
    """Rank of each user's best-placed target in the catalogue without what is hidden; `NEVER` where all targets are."""
    found = entries.pick(targets, ~entries.contains(hidden, entries.entry_keys(targets)))
    if found.nnz == targets.nnz:
        return _first_rank(scores, hidden, targets)
    ranks, asked = np.full(len(scores), NEVER), np.flatnonzero(entries.row_lengths(found))
    if asked.size:
        ranks[asked] = _first_rank(scores[asked], hidden[asked], found[asked])
    return ranks


def _first_rank(scores: Float32Array, histories: csr_array, targets: csr_array) -> Int64Array:
    """Rank of each user's best-placed target in the catalogue without the history, ties by item row; shape (n,)."""
    rows, columns = entries.entry_rows(targets), targets.indices
    of_targets = scores[rows, columns]
    best_score = np.maximum.reduceat(of_targets, targets.indptr[:-1])
    first_column = np.minimum.reduceat(
        np.where(of_targets == best_score[rows], columns, scores.shape[1]), targets.indptr[:-1]
    )
    ahead = _count_ahead(scores, best_score, first_column)
    seen_rows, seen = entries.entry_rows(histories), histories.indices
    seen_scores = scores[seen_rows, seen]
    seen_ahead = (seen_scores > best_score[seen_rows]) | (
        (seen_scores == best_score[seen_rows]) & (seen < first_column[seen_rows])
    )
    ranks: Int64Array = 1 + ahead - np.bincount(seen_rows[seen_ahead], minlength=scores.shape[0])
    return ranks


def _count_ahead(scores: Float32Array, score: Float32Array, column: Int64Array) -> Int64Array:
    """Items of each row with a higher score, or the same one and a smaller row number."""
    # Row by row, each stays in the processor's cache: five times faster than whole-matrix comparisons at 41k items.
    counts = (
        np.count_nonzero(row > value) + np.count_nonzero(row[:end] == value)
        for row, value, end in zip(scores, score, column, strict=True)
    )
    return np.fromiter(counts, dtype=np.int64, count=scores.shape[0])
