"""Sharpening: the equation dh/dt = -hP, by one step of Runge and Kutta, as a polynomial of P that is never formed.

Source: Choi et al., Blurring-Sharpening Process Models for Collaborative Filtering, SIGIR 2023, eq. 9 and section 4.2.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from recsys_vae.models.spectrum import Gram

BLOCK = 64
"""Columns that are multiplied at once: so many of 40,000 items stay in the processor's cache."""
ROWS = 256
"""Rows whose largest entries are found at once."""


def rk4_weights(time: float) -> list[float]:
    """Weights of 1, P, P^2, P^3 and P^4 after one step of length `time` of the classical method of fourth order.

    They are the beginning of the series of e^(-time P). A long step is not its limit: at the eigenvalue 1 it leaves .65
    after time 2.5, the exponential .08, so that what everybody likes is damped, not removed.
    """
    return [(-time) ** power / math.factorial(power) for power in range(5)]


def sharpened(gram: Gram, columns: Tensor, time: float) -> Tensor:
    """p(P) times columns, shape (n_items, n), p being the polynomial of `rk4_weights`."""
    found = []
    for power in torch.split(columns, BLOCK, dim=1):
        total, current = power.clone(), power.contiguous()
        for weight in rk4_weights(time)[1:]:
            current = gram @ current
            total.add_(current, alpha=weight)
        found.append(total)
    return torch.cat(found, dim=1)


def largest_entries(
    gram: Gram, time: float, left: Tensor, right: Tensor, scale: NDArray[np.float32], neighbours: int
) -> csr_array:
    """What P p(P) holds besides a product of thin factors, the largest entries of each row, as CSR.

    Args:
        gram: P.
        time: of the sharpening; 0 leaves P.
        left, right: shapes (n_items, r) and (r, n_items); their product is subtracted.
        scale: factors of the columns, shape (n_items,), by which entries are multiplied before they are compared; those
            of the rows are their inverse.
        neighbours: entries that are kept of a row.
    """
    n, kept = gram.width, min(neighbours, gram.width)
    values, columns = np.empty((n, kept), dtype=np.float32), np.empty((n, kept), dtype=np.int32)
    for start in range(0, n, ROWS):
        rows = range(start, min(start + ROWS, n))
        block = sharpened(gram, gram.columns(rows), time).T.contiguous()
        block.addmm_(left[rows.start : rows.stop], right, alpha=-1)
        entries = block.numpy()
        entries *= scale
        entries /= scale[rows.start : rows.stop, None]
        columns[rows.start : rows.stop] = _largest(entries, kept)
        values[rows.start : rows.stop] = np.take_along_axis(entries, columns[rows.start : rows.stop], axis=1)
    return csr_array((values.ravel(), columns.ravel(), np.arange(0, (n + 1) * kept, kept)), shape=(n, n))


def _largest(rows: NDArray[np.float32], kept: int) -> NDArray[np.intp]:
    """Columns of the entries of largest magnitude in each row, ascending, shape (n, kept); of equals the first ones.

    By each row's least magnitude: to find that alone takes a quarter of the time of finding the places.
    """
    sizes = np.abs(rows)
    least = np.partition(sizes, -kept, axis=1)[:, -kept, None]
    chosen = sizes >= least
    for row in np.flatnonzero(np.count_nonzero(chosen, axis=1) > kept):
        equal = np.flatnonzero(sizes[row] == least[row])
        chosen[row, equal[kept - np.count_nonzero(chosen[row]) :]] = False
    places = np.flatnonzero(chosen).reshape(len(rows), kept)
    return np.asarray(places % rows.shape[1])
