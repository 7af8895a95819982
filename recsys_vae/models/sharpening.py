"""Sharpening: the equation dh/dt = -hP, by one step of Runge and Kutta, as a polynomial of P that is never formed.

Source: Choi et al., Blurring-Sharpening Process Models for Collaborative Filtering, SIGIR 2023, eq. 9 and section 4.2.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.models.spectrum import Gram
from recsys_vae.native import graph

NEAR, NODES = 1e-7, 200
"""Largest difference of polynomials that are taken as equal, and at how many places they are compared: ten times as
much exchanges the last of the entries that are kept, which is seen in one of ten thousand scores."""
MARGIN, LANES, POWERS = 1.1, 16, 8
"""Of the estimate of the largest eigenvalue that is not taken out: what it is raised by, columns and steps."""
ROWS, TILE = 256, 4096
"""Rows whose largest entries are found at once, and columns from which leading components are taken at once: libraries
copy the factors of a product."""


def rk4_weights(time: float) -> list[float]:
    """Weights of 1, P, P^2, P^3 and P^4 after one step of length `time` of the classical method of fourth order.

    They are the beginning of the series of e^(-time P). A long step is not its limit: at the eigenvalue 1 it leaves .65
    after time 2.5, the exponential .08, so that what everybody likes is damped, not removed.
    """
    return [(-time) ** power / math.factorial(power) for power in range(5)]


def reach(gram: Gram, values: NDArray[np.float64], vectors: NDArray[np.float32]) -> float:
    """About the largest eigenvalue of P besides leading ones, rather too large; at least the least of these.

    By power iteration on what is left of P, as a search for leading vectors can miss some where many eigenvalues are
    equal, like the largest of a graph in many parts.

    Args:
        gram: P.
        values, vectors: of the leading components, shapes (r,) and (n_items, r).
    """
    found, leading = (
        torch.randn(gram.width, LANES, generator=torch.Generator().manual_seed(0)),
        torch.from_numpy(vectors),
    )
    largest = values.min(initial=1.0)
    for _ in range(POWERS):
        found /= found.norm(dim=0).clamp(min=1e-30)
        found = gram @ found.sub_(leading @ (leading.T @ found))
        largest = max(largest, float(found.norm(dim=0).max()))
    return float(MARGIN * largest)


def shorter(weights: list[float], largest: float) -> list[float]:
    """A polynomial of the least degree that is as good as another where no eigenvalue of P is above `largest`.

    As good: times x, within `NEAR` of the other for all x from 0 to `largest`. Each degree less saves two products with
    X for every item. What was found of P above that is to be taken out with the same polynomial.

    Args:
        weights: of 1, x, x^2 and so on.
        largest: x.
    """
    nodes = largest * (1 - np.cos(np.linspace(0, np.pi, NODES))) / 2
    wanted = np.polynomial.polynomial.polyval(nodes, weights)
    for degree in range(len(weights) - 1):
        powers = np.vander(nodes / (largest or 1.0), degree + 1, increasing=True) * nodes[:, None]
        found = np.linalg.lstsq(powers, wanted * nodes, rcond=None)[0]
        if np.abs(powers @ found - wanted * nodes).max() <= NEAR:
            return [float(weight) for weight in found / (largest or 1.0) ** np.arange(degree + 1)]
    return weights


def largest_entries(
    gram: Gram,
    weights: list[float],
    vectors: NDArray[np.float32],
    taken: NDArray[np.float32],
    scale: NDArray[np.float32],
    neighbours: int,
) -> csr_array:
    """What P p(P) holds besides its leading components, the largest entries of each row, as CSR.

    Args:
        gram: P.
        weights: of the powers in p.
        vectors, taken: V, shape (n_items, r), and t, shape (r,), of which V diag(t) V^T is subtracted.
        scale: factors of the columns, shape (n_items,), by which entries are multiplied before they are compared; those
            of the rows are their inverse.
        neighbours: entries that are kept of a row.
    """
    n, kept = gram.width, min(neighbours, gram.width)
    columns, values = (
        gram.neighbours(weights, vectors, taken, scale, kept)
        if graph.suits()
        else _kept(gram, weights, vectors, taken, scale, kept)
    )
    starts = np.arange(0, (n + 1) * kept, kept)
    narrow = starts.astype(np.int32) if starts[-1] <= np.iinfo(np.int32).max else starts  # columns are kept as wide
    return csr_array((values, columns, narrow), shape=(n, n))


def _kept(
    gram: Gram,
    weights: list[float],
    vectors: NDArray[np.float32],
    taken: NDArray[np.float32],
    scale: NDArray[np.float32],
    kept: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Columns and values of the largest entries of all rows, one after the other, some rows at once."""
    n = gram.width
    values, columns = np.empty((n, kept), dtype=np.float32), np.empty((n, kept), dtype=np.int32)
    right = torch.from_numpy(vectors).T
    for start in range(0, n, ROWS):
        rows = range(start, min(start + ROWS, n))
        chosen = slice(rows.start, rows.stop)
        block, left = gram.rows(weights, rows), torch.from_numpy(vectors[chosen] * taken)
        for first in range(0, n, TILE):
            block[:, first : first + TILE].addmm_(left, right[:, first : first + TILE], alpha=-1)
        scaled = block.numpy()
        scaled *= scale
        scaled *= np.reciprocal(scale[chosen])[:, None]
        columns[chosen] = _largest(scaled, kept)
        values[chosen] = np.take_along_axis(scaled, columns[chosen], axis=1)
        del block, scaled  # before the next ones are made
    return columns.ravel(), values.ravel()


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
