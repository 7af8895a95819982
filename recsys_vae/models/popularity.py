"""Popularity: every user gets the items that most users have interacted with. The baseline below all others."""

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.arrays import floats_of
from recsys_vae.data.histories import check_histories
from recsys_vae.errors import DataError
from recsys_vae.models.configs.popularity import PopularityConfig
from recsys_vae.models.cost import Cost, Sizes
from recsys_vae.protocols import Float32Array, Tensors


class Popularity:
    """score(u, i) = number of users with item i: a factorised model of one dimension."""

    def __init__(self, n_items: int, config: PopularityConfig) -> None:
        self.config = config
        self._counts = np.zeros(n_items, dtype=np.float32)

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return len(self._counts)

    @staticmethod
    def cost(config: PopularityConfig, sizes: Sizes) -> Cost:
        """A count an item."""
        return Cost(4 * sizes.n_items, sizes.n_interactions, 4 * sizes.n_items)

    def fit(self, interactions: csr_array) -> None:
        """Count the users of each item."""
        check_histories(interactions, self.n_items)
        self._counts = np.bincount(interactions.indices, minlength=self.n_items).astype(np.float32)

    def encode(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        """The number 1 for everybody, shape (n, 1)."""
        check_histories(histories, self.n_items)
        return np.ones((histories.shape[0], 1), dtype=np.float32)

    def item_vectors(self) -> Float32Array:
        """The counts, shape (n_items, 1)."""
        return self._counts[:, None].copy()

    def score(self, histories: csr_array) -> Float32Array:
        """The counts for everybody, shape (n, n_items)."""
        return self.encode(histories) @ self.item_vectors().T

    def tensors(self) -> Tensors:
        """The counts."""
        return {"counts": self._counts}

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over the counts.

        Raises:
            DataError: they are of another catalogue, or no counts.
        """
        counts = floats_of(tensors, "counts", self._counts.shape)
        if counts.min(initial=0) < 0:
            raise DataError(f"The tensor 'counts' holds {counts.min()}; expected counts from 0.")
        self._counts = counts
