"""Fake models and held-out users for tests of evaluation."""

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.ids import IdMap
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.protocols import Float32Array, Tensors
from tests.worlds import csr


class FixedScores:
    """A model that knows its score of every item by the first item of the history; without history: row 0."""

    def __init__(self, table: np.ndarray) -> None:
        self._table = table.astype(np.float32)

    @property
    def n_items(self) -> int:
        return self._table.shape[1]

    def score(self, histories: csr_array) -> Float32Array:
        filled = np.diff(histories.indptr) > 0
        first = np.zeros(histories.shape[0], dtype=np.int64)
        first[filled] = histories.indices[histories.indptr[:-1][filled]]
        return self._table[first].copy()

    def tensors(self) -> Tensors:
        return {}

    def load_tensors(self, tensors: Tensors) -> None:
        pass


def held_out(histories: list[list[int]], targets: list[list[int]], n_items: int) -> HeldOut:
    """Users u000, u001 ..."""
    users = IdMap.from_values(f"u{number:03}" for number in range(len(histories)))
    return HeldOut(users, csr(histories, n_items), csr(targets, n_items))
