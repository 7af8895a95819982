"""Alias tables: draws from a discrete law in constant time, whatever its length.

Each of n equally likely buckets holds an outcome of its own up to a share, and one other outcome above it.

Sources: Walker, An Efficient Method for Generating Discrete Random Variables, 1977; built in one sweep over prefix
sums, without a loop over outcomes, as Huebschle-Schneider & Sanders, Parallel Weighted Random Sampling, 2019, sec. 4.
"""

import numpy as np
from numpy.typing import NDArray


def alias_table(weights: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Share that each bucket keeps for its own outcome, and the other outcome that has the rest.

    A light outcome (below the mean) is filled up by the heavy one that stands at its place of the prefix sums of what
    is lacking; a heavy one that has given more than it had is filled up by the next.

    Args:
        weights: shape (n,), at least 0, not all 0.
    """
    scaled = weights * (len(weights) / weights.sum())
    keeps, other = np.minimum(scaled, 1.0), np.arange(len(weights))
    light, heavy = np.flatnonzero(scaled < 1), np.flatnonzero(scaled >= 1)
    if not len(light) or not len(heavy):
        return np.ones(len(weights), np.float32), other
    lacking, excess = np.cumsum(1 - scaled[light]), np.cumsum(scaled[heavy] - 1)
    giver = np.searchsorted(excess, np.concatenate([[0.0], lacking[:-1]]), side="right")
    other[light] = heavy[giver.clip(max=len(heavy) - 1)]  # rounding may look for one beyond the last
    given = np.searchsorted(lacking, excess, side="right")  # the light one that took more than was left
    emptied = np.flatnonzero(given[:-1] < len(light))
    keeps[heavy[emptied]] = (1 + excess[emptied] - lacking[given[emptied]]).clip(0, 1)
    other[heavy[emptied]] = heavy[emptied + 1]
    return keeps.astype(np.float32), other
