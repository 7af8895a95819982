"""Mask and select: the one place that removes items from scores and picks the best of the rest."""

import math
import sys

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array, TopK

SMALLEST_BLOCK = 8
"""Columns a block below which searching in blocks does not pay."""


def top_k(scores: Float32Array, k: int, *, allowed: BoolArray | None = None, excluded: csr_array | None = None) -> TopK:
    """The k best allowed items of each row, best first; ties go to the smaller item row.

    `scores` is overwritten: items that are not allowed become -inf. No second (n, n_items) array is made.

    Args:
        scores: shape (n, n_items).
        k: at least 1; more than n_items is filled up with -1.
        allowed: shape (n_items,), the items that any row may return; all when None.
        excluded: shape (n, n_items), its non-zeros are items that this row may not return.

    Raises:
        ConfigError: k < 1, or a mask does not fit the scores.
    """
    check_k(k)
    mask(scores, allowed=allowed, excluded=excluded)
    return select(scores, k)


def check_k(k: object) -> None:
    """Raise ConfigError unless k is a whole number, at least 1."""
    if not isinstance(k, int | np.integer) or k < 1:
        raise ConfigError(f"k is the number of items wanted, at least 1; got {k!r}.")


def check_masks(shape: tuple[int, int], allowed: BoolArray | None, excluded: csr_array | None) -> None:
    """Raise ConfigError unless the masks fit scores of this shape, (n, n_items)."""
    if allowed is not None and allowed.shape != shape[1:]:
        raise ConfigError(f"allowed has shape {allowed.shape}, expected {shape[1:]}: one flag an item.")
    if excluded is not None and excluded.shape != shape:
        raise ConfigError(f"excluded has shape {excluded.shape}, expected {shape}, as the scores.")


def mask(scores: Float32Array, *, allowed: BoolArray | None = None, excluded: csr_array | None = None) -> None:
    """Set what may not be returned to -inf, in place."""
    check_masks((scores.shape[0], scores.shape[1]), allowed, excluded)
    if allowed is not None:
        scores[:, ~allowed] = -np.inf
    if excluded is not None:
        rows = np.repeat(np.arange(scores.shape[0]), np.diff(excluded.indptr))
        scores[rows, excluded.indices] = -np.inf


def select(scores: Float32Array, k: int) -> TopK:
    """The k largest of each row, best first, ties by column; -inf counts as absent."""
    n, width = scores.shape
    rows = np.full((n, k), -1, dtype=np.int64)
    values = np.full((n, k), -np.inf, dtype=np.float32)
    if not n or not width:
        return TopK(rows, values)
    taken = min(k, width)
    # One more than asked for shows whether a tie straddles the border: then the choice among equals is arbitrary.
    candidates, columns = _largest(scores, min(taken + 1, width))
    if width > taken:
        border = candidates[:, taken - 1]
        straddling = (candidates[:, taken] == border) & np.isfinite(border)
        candidates, columns = candidates[:, :taken].copy(), columns[:, :taken].copy()
        for row in np.flatnonzero(straddling):
            chosen = np.flatnonzero(scores[row] >= border[row])
            columns[row] = chosen[np.argsort(-scores[row, chosen], kind="stable")[:taken]]
            candidates[row] = scores[row, columns[row]]
    _order_ties(candidates, columns)
    values[:, :taken] = candidates
    rows[:, :taken] = columns
    rows[np.isneginf(values)] = -1
    return TopK(rows, values)


def _largest(scores: Float32Array, k: int) -> tuple[Float32Array, Int64Array]:
    """The k largest of each row, largest first, and their columns; shape (n, k) each.

    Selecting k among all columns costs several times what it takes to read them. So in wide rows the columns are dealt
    to blocks, and the k blocks with the largest maxima, which hold the k largest numbers, are searched.
    """
    n, width = scores.shape
    size = math.isqrt(width // k)
    if size < SMALLEST_BLOCK:
        return _largest_of_all(scores, k)
    n_blocks = width // size
    maxima = scores[:, : size * n_blocks].reshape(n, size, n_blocks).max(axis=1)
    _, blocks = _largest_of_all(maxima, k)
    members = (blocks[:, None] + np.arange(0, size * n_blocks, n_blocks)[:, None]).reshape(n, size * k)
    rest = np.broadcast_to(np.arange(size * n_blocks, width), (n, width - size * n_blocks))
    columns = np.concatenate([members, rest], axis=1)
    values, places = _largest_of_all(np.take_along_axis(scores, columns, axis=1), k)
    return values, np.take_along_axis(columns, places, axis=1)


def _largest_of_all(scores: Float32Array, k: int) -> tuple[Float32Array, Int64Array]:
    """The same without blocks: by torch where it is loaded and has several threads, else by numpy, faster on one."""
    if "torch" in sys.modules:
        import torch

        if torch.get_num_threads() > 1:
            found = torch.topk(torch.from_numpy(scores), k, dim=1)
            return found.values.numpy(), found.indices.numpy()
    columns = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
    values = np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(values, axis=1)[:, ::-1]
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(columns, order, axis=1)


def _order_ties(values: Float32Array, columns: Int64Array) -> None:
    """Let equal values stand in the order of their columns, in place; rows are sorted by value already."""
    tied = np.flatnonzero((values[:, 1:] == values[:, :-1]).any(axis=1))
    order = np.lexsort((columns[tied], -values[tied]), axis=1)
    columns[tied] = np.take_along_axis(columns[tied], order, axis=1)
