"""ItemSimilarity: which items are most like one: by behaviour where that is known, else by the model.

    score of a neighbour by behaviour    1 + its weight over that of the strongest, so in (1, 2]
    score of any other item              its likeness to the model, in [-1, 1]

So a list that no neighbour is left for, as behind a filter, goes on with what the model finds alike. Without
neighbours the score is the model's own likeness.
"""

from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array, Scorer, TopK, takes_order
from recsys_vae.top_k import check_k, top_k


class ItemSimilarity:
    """Neighbours by behaviour, then the cosine of item vectors without their bias.

    A model that is not factorised, or has one dimension, is asked instead for the history that holds one item alone.

    Args:
        model: of the items.
        vectors: of its items, shape (n_items, d), the last column being the bias; None where it is not factorised.
        neighbours: weights above 0 of the items that come with each, shape (n_items, n_items); None where there are
            none.
    """

    def __init__(self, model: Scorer, vectors: Float32Array | None, neighbours: csr_array | None = None) -> None:
        self._model = model
        self._vectors = vectors
        self._neighbours = neighbours

    @property
    def has_directions(self) -> bool:
        """Whether items have vectors, besides a bias, whose directions can be compared."""
        return self._vectors is not None and self._vectors.shape[1] > 1

    def similar(self, item_row: int, k: int, *, allowed: BoolArray | None = None) -> TopK:
        """The items most similar to one item, itself left out; shapes (1, k).

        Args:
            item_row: of the item.
            k: at least 1.
            allowed: shape (n_items,), the items that may come back; all when None.

        Raises:
            ConfigError: k < 1, or there is no such row.
        """
        check_k(k)
        scores = self.scores(item_row)
        return top_k(scores[None, :], k, allowed=allowed, excluded=self._alone(item_row))

    def scores(self, item_row: int) -> Float32Array:
        """How alike all items are to one, shape (n_items,); the item itself has a score too.

        Raises:
            ConfigError: there is no such row.
        """
        n_items = self._model.n_items
        if not 0 <= item_row < n_items:
            raise ConfigError(f"Item rows lie in 0..{n_items - 1}, got {item_row}.")
        found = self._by_model(item_row)
        if self._neighbours is None:
            return found
        start, end = self._neighbours.indptr[item_row : item_row + 2]
        near, weights = self._neighbours.indices[start:end], self._neighbours.data[start:end]
        found = np.clip(found, -1, 1) if self.has_directions else found / (1 + np.abs(found))
        if len(near):
            found[near] = 1 + weights / weights.max()
        return np.asarray(found, dtype=np.float32)

    def _by_model(self, row: int) -> Float32Array:
        return self._cosines(row) if self.has_directions else self._after(self._alone(row))[0]

    def _alone(self, row: int) -> csr_array:
        return csr_array((np.ones(1, np.float32), [row], [0, 1]), shape=(1, self._model.n_items))

    def _after(self, alone: csr_array) -> Float32Array:
        return self._model.score(alone, order=alone) if takes_order(self._model) else self._model.score(alone)

    def directions(self, rows: Int64Array) -> Float32Array:
        """Vectors of items without their bias, of length 1, shape (len(rows), d - 1)."""
        return np.asarray(self._unbiased[rows] / self._lengths[rows, None])

    @property
    def _unbiased(self) -> Float32Array:
        assert self._vectors is not None
        return self._vectors[:, :-1]

    @cached_property
    def _lengths(self) -> Float32Array:
        return np.asarray(np.maximum(np.linalg.norm(self._unbiased, axis=1), 1e-12), dtype=np.float32)

    def _cosines(self, row: int) -> Float32Array:
        products = self._unbiased @ self.directions(np.array([row]))[0]
        return np.asarray(products / self._lengths, dtype=np.float32)
