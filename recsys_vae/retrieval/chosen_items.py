"""The few items that a filter allows, by themselves: what an index on disk maps of them is scattered, so it is copied.

The same filter is often asked for again and again, so those of the last one are kept. Their vectors are read by and by
with the searches that follow: no search is to take longer than a scan of what is allowed.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.native import ondisk as compiled
from recsys_vae.native import top_k
from recsys_vae.native.ondisk import Int32Array
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array, TopK
from recsys_vae.retrieval.block_file import BlockFile

LISTED_SHARE, COPIED_SHARE = 1 / 8, 1 / 32
"""Of the items: allowed ones up to which they are listed rather than every item of a block looked up; and up to which
they are copied at once, rather than when they are allowed a second time."""
MOST_BYTES, MOST_VECTOR_BYTES = 2**28, 2**26
"""Of what is copied, and of vectors that are kept: 1.6 million and 131,072 items of 128 dimensions."""
BLOCK = 512
"""Items a block of what is copied."""
SEARCHES = 64
"""In which the vectors are read: a vector takes 3 to 20 times as long as to be scanned where it is mapped."""
FEW_QUERIES, FEW_ITEMS = 8, 4096
"""Up to so many queries look at codes even where vectors are in memory; but scan so few vectors, too."""
LOOKED_AT = 2
"""Times k whose vectors a query reads, roughly: where that is as many as are allowed, all are read at once."""


@dataclass(eq=False)
class Part:
    """Some items of a file, copied, as a `native.ondisk.BlockFile`: nothing changes it.

    Blocks have the bounds of those that their items come from.

    Attributes:
        origins: of each item its place in the file, ascending.
        vectors: shape (n, d), the first `n_read` of them read; None where they are too many.
    """

    high: NDArray[np.uint8]
    low: NDArray[np.uint8]
    leads: Float32Array
    rest: Float32Array
    rows: Int32Array
    blocks: Float32Array
    shape: tuple[int, int]
    descriptor: int
    start: int
    origins: Int32Array
    vectors: Float32Array | None
    n_read: int = 0
    block_size: int = BLOCK

    @classmethod
    def of(cls, file: BlockFile, places: Int32Array) -> "Part":
        """Items of a file by place, ascending."""
        n, d = shape = len(places), file.shape[1]
        first = places[::BLOCK] // file.block_size
        last = places[np.minimum(np.arange(BLOCK - 1, n + BLOCK - 1, BLOCK), n - 1)] // file.block_size + 1
        spans = np.stack([first, last], axis=1).ravel()
        facts = np.concatenate([file.blocks, file.blocks[-1:]])  # a span may end behind the last
        blocks = np.maximum.reduceat(facts, spans)[::2] if n else facts[:0]
        if n:
            blocks[:, 2] = np.minimum.reduceat(facts[:, 2], spans)[::2]
        vectors = np.empty(shape, np.float32) if 4 * n * d <= MOST_VECTOR_BYTES else None
        return cls(*compiled.copied(file, places), blocks, shape, file.descriptor, file.start, places, vectors)

    def read_on(self, file: BlockFile, count: int) -> "Part":
        """The same with more vectors read."""
        end = min(len(self.origins), self.n_read + count)
        if self.vectors is None or end == self.n_read:
            return self
        compiled.gather(file, self.origins[self.n_read : end], self.vectors[self.n_read : end])
        return replace(self, n_read=end)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Items that were allowed last, rows ascending; by themselves where they are few, or were asked for twice."""

    rows: Int32Array
    part: Part | None = None

    @staticmethod
    def most(file: BlockFile) -> int:
        """Allowed items up to which they are listed."""
        each = 2 * file.high.shape[1] + 4 * (file.leads.shape[1] + file.rest.shape[1] + 3)
        return min(int(LISTED_SHARE * file.shape[0]), int(MOST_BYTES // each))

    def next(self, rows: Int32Array, places: Int32Array, file: BlockFile, asked: int) -> "Chosen":
        """What to keep when `rows` are allowed, of all `places` by row, and queries ask for so many items together."""
        n, is_same = len(rows), np.array_equal(self.rows, rows)
        part = self.part if is_same else None
        if part is None:
            if not is_same and n > COPIED_SHARE * file.shape[0]:
                return Chosen(rows)
            part = Part.of(file, np.sort(places[rows]))
        if LOOKED_AT * asked >= n:
            part = part.read_on(file, n)
        elif is_same:
            part = part.read_on(file, -(-n // SEARCHES))
        return self if part is self.part else Chosen(rows, part)

    def search(
        self, queries: Float32Array, k: int, allowed: BoolArray, excluded: csr_array | None, places: Int32Array
    ) -> tuple[TopK, BoolArray, NDArray[np.int64]]:
        """As `native.ondisk.search`; excluded by row, shape (n, n_items), of all `places` by row."""
        part = self.part
        assert part is not None
        lists = None if excluded is None else _here(excluded, allowed, places, part.origins)
        vectors = part.vectors if part.n_read == len(part.origins) else None
        if vectors is not None and (len(queries) > FEW_QUERIES or len(vectors) <= FEW_ITEMS) and k < top_k.LARGEST_K:
            found = self._scan(queries, k, part, vectors, lists)
            if found is not None:
                counts = np.array([0, 0, len(queries) * len(vectors)])
                return found, np.zeros(len(queries), np.bool_), counts
        return compiled.search(queries, part, k, None, None, lists, origins=part.origins, vectors=vectors)

    @staticmethod
    def _scan(
        queries: Float32Array, k: int, part: Part, vectors: Float32Array, lists: tuple[Int64Array, Int32Array] | None
    ) -> TopK | None:
        """By a scan of the vectors; None where scores are equal, as these do not lie in the order of their rows."""
        shape = len(queries), len(vectors)
        excluded = None if lists is None else csr_array((np.ones(len(lists[1]), np.bool_), *lists[::-1]), shape)
        found = top_k.search(queries, vectors, k + 1, None, excluded)
        if ((found.scores[:, 1:] == found.scores[:, :-1]) & (found.rows[:, 1:] >= 0)).any():
            return None
        rows = np.append(part.rows, np.int32(-1))[found.rows[:, :k]]
        return TopK(rows.astype(np.int64), found.scores[:, :k].copy())


def _here(
    excluded: csr_array, allowed: BoolArray, places: Int32Array, origins: Int32Array
) -> tuple[Int64Array, Int32Array] | None:
    """What is excluded of what is allowed, by position among `origins`; None where that is nothing."""
    is_here = allowed[excluded.indices]
    if not is_here.any():
        return None
    starts = np.concatenate([[0], np.cumsum(is_here)])[excluded.indptr]
    at = np.searchsorted(origins, places[excluded.indices[is_here]])
    found = csr_array((np.ones(len(at), np.bool_), at, starts), (excluded.shape[0], len(origins)))
    found.sort_indices()
    return found.indptr.astype(np.int64), found.indices.astype(np.int32)
