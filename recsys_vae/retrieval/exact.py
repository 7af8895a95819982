"""TorchIndex: exact search by one matrix product and a selection; on a GPU where there is one.

On a CPU both are one compiled loop where it was built (recsys_vae/native): scores are compared as they are made.
Where the processor multiplies 8-bit integers (AVX-512 VNNI, AVX2), these choose the items that are scored.
"""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.errors import RetrievalError
from recsys_vae.extras import Deferred
from recsys_vae.mapped import Keep, as_made
from recsys_vae.native import quantised
from recsys_vae.native import top_k as compiled
from recsys_vae.native.library import library
from recsys_vae.native.quantised import Quantised
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array, TopK
from recsys_vae.top_k import check_k, check_masks, top_k

if TYPE_CHECKING:
    import torch
else:
    torch = Deferred("torch")

SCORES_AT_ONCE = 2**23
"""Scores held at a time (32 MiB, the last cache): queries are taken in chunks of this many over n_items."""

GATHERED_SHARE = 0.2
"""Share of allowed items below which their vectors are copied together rather than all scores computed."""


class TorchIndex:
    """Item vectors on a device.

    Args:
        vectors: shape (n_items, d) float32; on the CPU they are shared, not copied.
        device: a torch device.
        keep: keeps what is made of them for searches.
    """

    name = "torch"

    def __init__(self, vectors: Float32Array, device: "torch.device | str" = "cpu", *, keep: Keep = as_made) -> None:
        self._shape, self._keep = vectors.shape, keep
        self._array = vectors if str(device).partition(":")[0] == "cpu" else None
        if self._array is None:
            self._vectors = torch.from_numpy(vectors).to(device)

    @cached_property
    def _vectors(self) -> "torch.Tensor":
        """What is searched; of a CPU's index the array as a tensor, which only some searches need."""
        return torch.from_numpy(self._array)

    @property
    def n_items(self) -> int:
        """Number of vectors."""
        return int(self._shape[0])

    @property
    def vectors(self) -> Float32Array:
        """What is searched, shape (n_items, d); of a CPU's index it is the memory itself."""
        return self._vectors.cpu().numpy() if self._array is None else self._array

    def search(
        self, queries: Float32Array, k: int, allowed: BoolArray | None = None, excluded: csr_array | None = None
    ) -> TopK:
        """The k best allowed items of each query; see `protocols.Index`."""
        check_k(k)
        check_queries(queries, self._shape[1])
        check_masks((len(queries), self.n_items), allowed, excluded)
        n = len(queries)
        if self.in_8_bits is not None and quantised.suits(n, k, self.in_8_bits):
            return quantised.search(queries, self.in_8_bits, k, allowed, excluded)
        if self._array is not None and compiled.suits(n, k, steady=self.is_steady):
            return compiled.search(queries, self._array, k, allowed, excluded)
        if allowed is not None and self._is_worth_gathering(len(queries), int(allowed.sum())):
            return self._search_among(np.flatnonzero(allowed), queries, k, excluded)
        step = max(64, SCORES_AT_ONCE // max(1, self.n_items))
        parts = [
            top_k(
                self._score(queries[start : start + step]),
                k,
                allowed=allowed,
                excluded=None if excluded is None else excluded[start : start + step],
            )
            for start in range(0, max(1, len(queries)), step)
        ]
        return TopK(np.concatenate([part.rows for part in parts]), np.concatenate([part.scores for part in parts]))

    @cached_property
    def is_steady(self) -> bool:
        """Whether a query has the same scores, bit by bit, in any batch: compiled loops alone sum in one order.

        They do where they are fast for one query too.
        """
        is_narrow = self._shape[1] < quantised.NARROWEST and library() is not None
        return self.in_8_bits is not None or (self._array is not None and is_narrow)

    @cached_property
    def in_8_bits(self) -> Quantised | None:
        """The vectors with 8-bit copies, made with the first search; None where they bring nothing."""
        return None if self._array is None else quantised.quantise(self._array, self._keep)

    def _is_worth_gathering(self, n: int, n_allowed: int) -> bool:
        return n_allowed < GATHERED_SHARE * self.n_items and n * n_allowed <= SCORES_AT_ONCE

    def _search_among(self, rows: Int64Array, queries: Float32Array, k: int, excluded: csr_array | None) -> TopK:
        scores = self._score(queries, torch.from_numpy(rows).to(self._vectors.device))
        found = top_k(scores, k, excluded=None if excluded is None else csr_array(excluded[:, rows]))
        return TopK(np.where(found.rows < 0, -1, np.append(rows, -1)[found.rows]), found.scores)

    def _score(self, queries: Float32Array, rows: "torch.Tensor | None" = None) -> Float32Array:
        from recsys_vae.nn.inner_products import inner_products

        with torch.inference_mode():
            vectors = self._vectors if rows is None else self._vectors[rows]
            scores = inner_products(torch.from_numpy(queries).to(self._vectors.device), vectors)
            array: Float32Array = scores.cpu().numpy()
        return array


def check_queries(queries: Float32Array, width: int) -> None:
    """Raise RetrievalError unless queries are float32 of the index's width."""
    if queries.ndim != 2 or queries.shape[1] != width or queries.dtype != np.float32:
        raise RetrievalError(f"Queries have shape {queries.shape} {queries.dtype}, expected (n, {width}) float32.")
