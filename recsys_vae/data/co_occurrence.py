"""Co-occurrence: which items come together, in sessions or in whole histories.

    lift(i, j) = (c_ij + m) / (e_ij + m),   e_ij = n_i n_j / N

c_ij counts the sessions that hold both items, n_i those that hold item i, N all of them; e_ij is what chance would
bring. m shrinks towards 1 what few sessions say: the posterior mean of a rate ratio with a Gamma(m, m) prior.

    co-view(i, j) = sum_g x_gi x_gj / (|x_g| n_j^damping)

over groups g: histories, or runs of them. Long ones count less, as they hold everything beside everything; so do items
that most users have anyway. With damping 1/2 in histories it is the linear filter of GF-CF.

Sources: DuMouchel, Bayesian Data Mining in Large Frequency Tables, The American Statistician 1999 (shrinkage);
Aiolli, Efficient Top-N Recommendation for Very Large Scale Binary Rated Datasets, RecSys 2013 (asymmetric damping);
Shen et al., How Powerful is Graph Convolution for Recommendation?, CIKM 2021 (lengths).
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from recsys_vae.data.signals import UNTIMED
from recsys_vae.protocols import Float32Array, Int64Array

PRODUCT_ENTRIES = 2**24
"""Entries of a product of sparse matrices that are held at once, about."""


def sessions(users: Int64Array, times: Int64Array, gap: float) -> Int64Array:
    """Number of the session of each event, from 0; -1 for one without a time.

    Args:
        users: row of the user, shape (n,); those of one user stand together, least recent first.
        times: microseconds since 1970, `UNTIMED` where unknown, shape (n,).
        gap: microseconds; a session ends where nothing follows within them.
    """
    is_timed = times != UNTIMED
    who, when = users[is_timed], times[is_timed]
    begins = np.ones(len(who), dtype=np.bool_)
    begins[1:] = (who[1:] != who[:-1]) | (when[1:] - when[:-1] > gap)
    found = np.full(len(users), -1, dtype=np.int64)
    found[is_timed] = np.cumsum(begins) - 1
    return found


def incidence(groups: Int64Array, items: Int64Array, n_items: int) -> csr_array:
    """Groups by items, every entry 1, whatever is repeated; shape (n_groups, n_items).

    Args:
        groups: number of the group of each event, from 0; below 0 for none, shape (n,).
        items: row of its item, shape (n,).
    """
    kept = groups >= 0
    rows, columns = (groups, items) if kept.all() else (groups[kept], items[kept])
    shape = (int(rows.max(initial=-1)) + 1, n_items)
    found = csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    found.sum_duplicates()
    found.data[:] = 1
    return found


def without_long(groups: csr_array, longest: int) -> csr_array:
    """Only the groups of at most so many items: a machine's, or a whole catalogue's, say nothing of any pair."""
    are_kept = np.diff(groups.indptr) <= longest
    return groups if are_kept.all() else csr_array(groups[np.flatnonzero(are_kept)])


def lifts(groups: csr_array, *, shrinkage: float, at_least: int, most: int) -> csr_array:
    """The pairs that come together more often than chance would bring, shape (n_items, n_items).

    Args:
        groups: ones, shape (n_groups, n_items).
        shrinkage: m, in groups, above 0.
        at_least: groups that must hold a pair.
        most: pairs that are kept of an item, those of the largest lift.
    """
    counts = np.bincount(groups.indices, minlength=groups.shape[1]).astype(np.float64)
    n_groups = max(1, groups.shape[0])

    def rated(rows: Int64Array, columns: Int64Array, together: NDArray[np.float64]) -> NDArray[np.float64]:
        expected = counts[rows] * counts[columns] / n_groups
        lift = (together + shrinkage) / (expected + shrinkage)
        return np.where((together >= at_least) & (lift > 1), lift, 0.0)

    return _rated_pairs(groups, groups, rated, most)


def runs(users: Int64Array, items: Int64Array, length: int) -> tuple[Int64Array, Int64Array]:
    """Events cut into runs of one user's, each event in two: one run begins in the middle of another.

    Args:
        users: row of the user, shape (n,); those of one user stand together, least recent first.
        items: row of the item, shape (n,).
        length: events of a run, at least 2.

    Returns:
        Number of a run from 0, int32 where that suffices, and item, of each event of it; shapes (2 n,).
    """
    n, n_before = len(users), 0
    kind = np.int32 if 2 * n <= np.iinfo(np.int32).max else np.int64
    begins = np.flatnonzero(np.concatenate([[True], users[1:] != users[:-1]])) if n else np.zeros(0, np.int64)
    place = np.arange(n, dtype=kind)
    np.subtract(place, np.repeat(begins.astype(kind), np.diff(np.append(begins, n))), out=place)
    found = np.empty((2, n), dtype=kind)
    for half, shift in zip(found, (0, length // 2), strict=True):
        is_first = (place == 0) | ((place + shift) % length == 0)
        np.cumsum(is_first, out=half)
        np.add(half, n_before - 1, out=half)
        n_before += int(np.count_nonzero(is_first))
    return found.ravel(), np.concatenate([items, items])


def co_views(groups: csr_array, *, damping: float, longest: int, most: int) -> csr_array:
    """The items that come most beside each, shape (n_items, n_items); the largest weight of a row is 1.

    Args:
        groups: histories or runs by items, of which the pattern counts.
        damping: of items by how many groups have them, from 0.
        longest: groups of more items are passed over.
        most: items that are kept of each.
    """
    pattern = csr_array((np.ones(groups.nnz, np.float32), groups.indices, groups.indptr), shape=groups.shape)
    pattern = without_long(pattern, longest)
    counts = np.maximum(np.bincount(pattern.indices, minlength=groups.shape[1]), 1.0)
    lengths = np.diff(pattern.indptr)
    weights = 1 / np.maximum(lengths, 1)
    weighted = csr_array((np.repeat(weights, lengths), pattern.indices, pattern.indptr), shape=pattern.shape)

    def rated(_: Int64Array, columns: Int64Array, together: NDArray[np.float64]) -> NDArray[np.float64]:
        return together / counts[columns] ** damping

    found = _rated_pairs(pattern, weighted, rated, most)
    lengths = np.diff(found.indptr)
    best = np.maximum.reduceat(np.append(found.data, 0), found.indptr[:-1])[lengths > 0]
    shares = (found.data / np.repeat(best, lengths[lengths > 0])).astype(np.float32)
    found.data = np.maximum(shares, np.finfo(np.float32).tiny)
    return found


Rated = Callable[[Int64Array, Int64Array, NDArray[np.float64]], NDArray[np.float64]]
"""From the rows, columns and sums of pairs to what they are ordered by; 0 for a pair that is not kept."""


def _rated_pairs(left: csr_array, right: csr_array, rated: Rated, most: int) -> csr_array:
    """The best pairs of each item of `left.T @ right`, in bounded memory."""
    n_items, across = left.shape[1], csr_array(left.T)
    parts = [csr_array((0, n_items), dtype=np.float32)]
    for first, last in _blocks(across, right):
        product = csr_array(csr_array(across[first:last], dtype=np.float64) @ right)
        rows = np.repeat(np.arange(first, last), np.diff(product.indptr))
        product.data = np.where(product.indices == rows, 0.0, rated(rows, product.indices, product.data))
        parts.append(strongest(product, most))
    return csr_array(vstack(parts, format="csr"))


def _blocks(across: csr_array, right: csr_array) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose product has about as many entries as are held at once; `across` has ones."""
    lengths = np.diff(right.indptr).astype(np.float64)
    work = np.concatenate([[0.0], np.cumsum(across @ lengths)])
    first, n_rows = 0, across.shape[0]
    while first < n_rows:
        last = int(np.searchsorted(work, work[first] + PRODUCT_ENTRIES, side="right")) - 1
        last = min(max(last, first + 1), n_rows)
        yield first, last
        first = last


def strongest(matrix: csr_array, most: int) -> csr_array:
    """The largest entries above 0 of each row, at most so many, ties going to the smaller column; columns ascend."""
    matrix.sort_indices()
    kept = []
    for start, end in pairwise(matrix.indptr.tolist()):
        values = matrix.data[start:end]
        best = np.argsort(-values, kind="stable")[:most] if end - start > most else np.arange(end - start)
        kept.append(start + np.sort(best[values[best] > 0]))
    lengths = [len(one) for one in kept]
    places = np.concatenate([np.zeros(0, dtype=np.int64), *kept])
    data: Float32Array = matrix.data[places].astype(np.float32)
    return csr_array((data, matrix.indices[places], np.cumsum([0, *lengths])), shape=matrix.shape)


__all__ = ["UNTIMED", "co_views", "incidence", "lifts", "runs", "sessions", "strongest", "without_long"]
