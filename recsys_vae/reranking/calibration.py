"""Calibration: lists whose shares of a column's values, such as genres, are those of the user's history.

    next = argmax_i (1 - strength) * relevance_i - strength * KL(p || q~(list and i))

p(g) is the mean of p(g|i) over the history, by its weights, q over the list, q~ = 0.99 q + 0.01 p; an item with n
values has each by 1/n, one without is left out. Relevance is the score, scaled to 0..1 over the pool, so that it and a
divergence can be weighed against each other.

Source: Steck, Calibrated Recommendations, RecSys 2018, equation 6; the greedy choice is within 1 - 1/e of the best one,
as what is maximised is submodular.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.attributes import Float64Array
from recsys_vae.protocols import Int64Array
from recsys_vae.reranking.caps import Door

SMOOTHING = 0.01
POOL, LARGEST_POOL = 400, 2000
"""Best items that are chosen among, and at least ten times as many as are wanted, up to the second."""


def pool_size(k: int) -> int:
    """How many of the best items k calibrated ones are chosen among."""
    return max(k, min(LARGEST_POOL, max(POOL, 10 * k)))


def calibrate(
    scores: Float64Array, shares: csr_array, history: csr_array, weights: Float64Array, k: int, strength: float,
    *, shown: csr_array | None = None, door: Door | None = None,
) -> Int64Array:  # fmt: skip
    """Places of k of a pool, in the order in which they are chosen; ties go to the earlier place. See `choices`."""
    return np.fromiter(choices(scores, shares, history, weights, k, strength, shown=shown, door=door), np.int64)


def choices(
    scores: Float64Array, shares: csr_array, history: csr_array, weights: Float64Array, k: int, strength: float,
    *, shown: csr_array | None = None, door: Door | None = None,
) -> Iterator[int]:  # fmt: skip
    """The same, one after the other.

    Args:
        scores: of the pool, best first, finite, shape (n,).
        shares: p(value | item) of the pool, rows that sum to 1 or are empty, shape (n, n_values).
        history: the same of the items in the history, shape (m, n_values).
        weights: of these, shape (m,); those below 0 speak against an item and count for nothing.
        k: at least 1; all when there are fewer.
        strength: 0 for the order of the scores, towards 1 for calibration alone.
        shown: the same as `shares` of items of earlier pages.
        door: which of the pool may come; fewer than k come where it closes.
    """
    wanted = wanted_shares(history, weights)
    support = np.flatnonzero(wanted > 0)
    relevance, mine = _scaled(scores), shares[:, support].toarray().astype(np.float64)
    has_value = (np.diff(shares.indptr) > 0).astype(np.float64)
    listed, n_listed = np.zeros(len(support)), 0.0
    if shown is not None:
        listed, n_listed = shown[:, support].toarray().sum(axis=0), float((np.diff(shown.indptr) > 0).sum())
    is_free = np.ones(len(scores), dtype=np.bool_)
    for _ in range(min(k, len(scores))):
        may_come = is_free if door is None else is_free & door.open
        if not may_come.any():
            return
        gain = (1 - strength) * relevance
        if len(support):
            found = (listed + mine) / np.maximum(n_listed + has_value, 1.0)[:, None]
            gain = gain - strength * _divergence(wanted[support], found)
        best = int(np.argmax(np.where(may_come, gain, -np.inf)))
        is_free[best] = False
        listed, n_listed = listed + mine[best], n_listed + has_value[best]
        if door is not None:
            door.take(best)
        yield best


def wanted_shares(history: csr_array, weights: Float64Array) -> Float64Array:
    """p(value | user), shape (n_values,); zeros where no item that speaks for anything has a value."""
    sums: Float64Array = np.maximum(weights, 0.0) @ history
    total = sums.sum()
    return sums / total if total > 0 else sums


def _divergence(wanted: Float64Array, found: Float64Array) -> Float64Array:
    """KL of each row, over the values that are wanted; shape (n,)."""
    mixed = (1 - SMOOTHING) * found + SMOOTHING * wanted
    divergence: Float64Array = (wanted * np.log(wanted / mixed)).sum(axis=1)
    return divergence


def _scaled(scores: Float64Array) -> Float64Array:
    if not len(scores):
        return scores
    least, spread = scores.min(), np.ptp(scores)
    return (scores - least) / spread if spread > 0 else np.zeros_like(scores)
