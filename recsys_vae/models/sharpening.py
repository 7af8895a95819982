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
            total += weight * current
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
    factors = torch.from_numpy(scale)
    for start in range(0, n, BLOCK):
        rows = torch.arange(start, min(start + BLOCK, n))
        identity = torch.zeros(n, len(rows)).index_put_((rows, torch.arange(len(rows))), torch.tensor(1.0))
        block = sharpened(gram, gram @ identity, time).T - left[rows] @ right
        block = block * factors / factors[rows, None]
        places = block.abs().topk(kept, dim=1, sorted=False).indices.sort(dim=1).values
        values[start : start + BLOCK] = block.gather(1, places).numpy()
        columns[start : start + BLOCK] = places.numpy()
    return csr_array((values.ravel(), columns.ravel(), np.arange(0, (n + 1) * kept, kept)), shape=(n, n))
