"""Mask and select: the one place that removes items from scores and picks the best of the rest."""

import numpy as np
import torch
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError
from recsys_vae.protocols import BoolArray, Float32Array, TopK


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


def check_k(k: int) -> None:
    """Raise ConfigError unless k is at least 1."""
    if k < 1:
        raise ConfigError(f"k is the number of items wanted, at least 1; got {k}.")


def mask(scores: Float32Array, *, allowed: BoolArray | None = None, excluded: csr_array | None = None) -> None:
    """Set what may not be returned to -inf, in place."""
    if allowed is not None:
        if allowed.shape != scores.shape[1:]:
            raise ConfigError(f"allowed has shape {allowed.shape}, expected {scores.shape[1:]}: one flag an item.")
        scores[:, ~allowed] = -np.inf
    if excluded is not None:
        if excluded.shape != scores.shape:
            raise ConfigError(f"excluded has shape {excluded.shape}, expected {scores.shape}, as the scores.")
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
    # One more than asked for shows whether a tie straddles the border: then torch's choice among equals is arbitrary.
    found = torch.topk(torch.from_numpy(scores), min(taken + 1, width), dim=1)
    candidates, columns = found.values.numpy(), found.indices.numpy()
    if width > taken:
        border = candidates[:, taken - 1]
        straddling = (candidates[:, taken] == border) & np.isfinite(border)
        candidates, columns = candidates[:, :taken].copy(), columns[:, :taken].copy()
        for row in np.flatnonzero(straddling):
            chosen = np.flatnonzero(scores[row] >= border[row])
            columns[row] = chosen[np.argsort(-scores[row, chosen], kind="stable")[:taken]]
            candidates[row] = scores[row, columns[row]]
    order = np.lexsort((columns, -candidates), axis=1)
    values[:, :taken] = np.take_along_axis(candidates, order, axis=1)
    rows[:, :taken] = np.take_along_axis(columns, order, axis=1)
    rows[np.isneginf(values)] = -1
    return TopK(rows, values)
