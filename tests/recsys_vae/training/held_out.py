"""The users of `two_tastes` as validation users."""

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.evaluation.splits import HeldOut
from tests.worlds import by_row, two_tastes

WORLD = two_tastes()


def held_out() -> HeldOut:
    """Two items of each user shown, two asked."""
    first = np.arange(WORLD.matrix.nnz) % 4 < 2
    parts = []
    for kept in (first, ~first):
        rows = np.repeat(np.arange(WORLD.n_users), 4)[kept]
        matrix = csr_array((np.ones(kept.sum(), np.float32), (rows, WORLD.matrix.indices[kept])), shape=(40, 12))
        matrix.sum_duplicates()
        parts.append(matrix)
    return HeldOut(WORLD.users, *parts, order=by_row(parts[0]))
