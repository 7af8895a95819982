"""ContentMap: vectors of items that came after the training, from their content, wherever the model is served.

It is the regression of `content`, kept: what it predicted for the items without users of a dataset, it predicts for
those that nobody had heard of when the model was published.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.arrays import check_finite
from recsys_vae.data.features import Record, Schema
from recsys_vae.errors import DataError
from recsys_vae.protocols import BoolArray, FactorizedRecommender, Float32Array, Int64Array

WEIGHTS = "weights"


@dataclass(frozen=True, eq=False)
class ContentMap:
    """From the content of items to their vectors.

    Attributes:
        schema: how content is read.
        weights: shape (1 + schema.width, d): of the constant, then of each column of the content.
    """

    schema: Schema
    weights: Float32Array

    @classmethod
    def learn(
        cls,
        model: FactorizedRecommender,
        schema: Schema,
        content: csr_array,
        counts: Int64Array,
        *,
        l2: float,
        lift: float,
    ) -> "ContentMap":
        """Learn from the items that have users.

        Args:
            model: whose vectors they are; their last column is the bias.
            schema: by which the content was encoded.
            content: shape (n_items, schema.width).
            counts: training users of each item, shape (n_items,).
            l2: of the ridge regression.
            lift: added to the bias, so that such items are seen.
        """
        from recsys_vae.models.content import regression

        weights = regression(content, model.item_vectors(), counts, l2=l2).astype(np.float32)
        weights[0, -1] += np.float32(lift)
        return cls(schema, weights)

    def vectors(self, records: Sequence[Record]) -> tuple[Float32Array, BoolArray]:
        """Vectors of items, shape (n, d), and of whom anything is known that the map has learned from, shape (n,)."""
        content = self.schema.encode(records)
        found = self.weights[0] + content @ self.weights[1:]
        return np.asarray(found, dtype=np.float32), np.diff(content.indptr) > 0

    def tensors(self) -> dict[str, Float32Array]:
        """What a file keeps besides the schema."""
        return {WEIGHTS: np.ascontiguousarray(self.weights)}

    @classmethod
    def from_tensors(cls, schema: Schema, tensors: dict[str, Float32Array], width: int) -> "ContentMap":
        """Read what `tensors` gave.

        Raises:
            DataError: it is something else, or of other vectors than those of `width`.
        """
        weights = tensors.get(WEIGHTS)
        if weights is None or weights.dtype != np.float32 or weights.shape != (1 + schema.width, width):
            raise DataError(f"A map of content has weights of shape {(1 + schema.width, width)} in float32.")
        check_finite("The map of content", weights)
        return cls(schema, weights)
