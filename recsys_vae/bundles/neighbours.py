"""Neighbours: the items that come with an item, as behaviour has it; data/co_occurrence.py has the formulas.

Kept are the strongest neighbours of each item, so that a catalogue of any size has a table of bounded size.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.arrays import sparse_of
from recsys_vae.bundles.item_lists import sparse_tensors
from recsys_vae.errors import DataError
from recsys_vae.protocols import Float32Array, Tensors

MOST, FEWEST = 200, 20
ALL_PAIRS = 20_000_000
"""Pairs that are kept of all items together, beyond the fewest of each."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What comes with each item.

    Attributes:
        similar: what those who have seen an item also see, weights above 0, shape (n_items, n_items).
        together: lift of what is bought in one session with it, above 1, shape (n_items, n_items).
    """

    similar: csr_array
    together: csr_array

    def lifts(self, row: int) -> Float32Array:
        """Lift of all items beside one, shape (n_items,); -inf for those that did not come with it."""
        found = np.full(self.together.shape[1], -np.inf, dtype=np.float32)
        start, end = self.together.indptr[row : row + 2]
        found[self.together.indices[start:end]] = self.together.data[start:end]
        return found

    def tensors(self) -> Tensors:
        """As a bundle keeps them."""
        return sparse_tensors("similar", self.similar) | sparse_tensors("together", self.together)

    @classmethod
    def from_tensors(cls, tensors: Tensors, n_items: int) -> "Neighbours":
        """Read what `tensors` returned.

        Raises:
            DataError: something is missing, of another catalogue, out of range or not finite.
        """
        read = [sparse_of(tensors, name, (n_items, n_items)) for name in ("similar", "together")]
        for name, matrix in zip(("similar", "together"), read, strict=True):
            rows = np.repeat(np.arange(n_items), np.diff(matrix.indptr))
            ascends = (np.diff(rows * n_items + matrix.indices) > 0).all()
            if not ascends or (matrix.indices == rows).any() or (matrix.nnz and matrix.data.min() <= 0):
                raise DataError(f"{name} holds an item twice, beside itself, or with a weight that is not above 0.")
        return cls(*read)


def n_kept(n_items: int) -> int:
    """Neighbours that are kept of each item."""
    return int(np.clip(ALL_PAIRS // max(1, n_items), FEWEST, MOST))
