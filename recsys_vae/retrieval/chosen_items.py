"""The few items that a filter allows, scanned in float32: where an index on disk would look at most of them anyway.

The same filter is often asked for again and again, so vectors of the last one are kept in memory.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.native import ondisk as compiled
from recsys_vae.native import top_k
from recsys_vae.native.ondisk import Int32Array
from recsys_vae.protocols import Float32Array, TopK
from recsys_vae.retrieval.block_file import BlockFile

MOST_BYTES = 2**26
"""Of vectors that are kept: 131,072 of 128 dimensions."""
LOOKED_AT = 2
"""Times k whose vectors a query reads, roughly: where that is as many as are allowed, all are read at once."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """Items that were allowed last, rows ascending; their vectors in this order, once they were asked for twice."""

    rows: Int32Array
    vectors: Float32Array | None = None

    def next(self, rows: Int32Array, places: Int32Array, file: BlockFile, asked: int) -> "Chosen":
        """What to keep when `rows` at `places` are allowed, and so many items are asked for by all queries."""
        is_same = np.array_equal(self.rows, rows)
        if is_same and self.vectors is not None:
            return self
        is_small = len(rows) * file.shape[1] * 4 <= MOST_BYTES
        if not is_small or not (is_same or LOOKED_AT * asked >= len(rows)):
            return Chosen(rows)
        return Chosen(rows, compiled.gather(file, places))

    def search(self, queries: Float32Array, k: int, excluded: csr_array | None) -> TopK:
        """The k best of each query among `vectors`; excluded by row, shape (n, n_items)."""
        assert self.vectors is not None
        found = top_k.search(queries, self.vectors, k, None, None if excluded is None else self._here(excluded))
        return TopK(np.where(found.rows < 0, -1, np.append(self.rows, -1)[found.rows]).astype(np.int64), found.scores)

    def _here(self, excluded: csr_array) -> csr_array:
        """What is excluded, by position among the rows."""
        at = np.searchsorted(self.rows, excluded.indices)
        is_here = np.append(self.rows, -1)[at] == excluded.indices
        starts = np.concatenate([[0], np.cumsum(is_here)])[excluded.indptr]
        here = at[is_here]
        return csr_array((np.ones(len(here), np.bool_), here, starts), (excluded.shape[0], len(self.rows)))
