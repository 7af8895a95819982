"""OnDiskIndex: exact search over vectors that need not fit in memory.

Of its file (block_file.py) 8-bit codes and bounds are mapped, vectors are read for the few items that may be among the
best. Lists and scores are those of a float32 scan of all, whatever is allowed or excluded.
"""

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.errors import RetrievalError
from recsys_vae.native import ondisk as compiled
from recsys_vae.protocols import BoolArray, Float32Array, TopK
from recsys_vae.retrieval.block_file import BlockFile
from recsys_vae.retrieval.block_scan import scan
from recsys_vae.retrieval.block_writer import encode
from recsys_vae.retrieval.chosen_items import Chosen
from recsys_vae.retrieval.exact import check_queries
from recsys_vae.retrieval.soundness import check_close
from recsys_vae.top_k import check_k, check_masks

LOOKED_INTO = 64
"""Blocks of a file whose codes are made again when it is opened."""


class OnDiskIndex:
    """An index file, open to be searched.

    Attributes:
        looked_at: since it was opened, at how many items' codes tiles of up to 64 queries looked, at how many in 8
            bits, and how many queries at vectors.

    Args:
        path: of the file, as `write_blocks` wrote it.
        vectors: what it was written from, shape (n_items, d), to be compared; it is not kept.

    Raises:
        RetrievalError: it is no such file, damaged, or of other vectors.
    """

    name = "ondisk"

    def __init__(self, path: Path, vectors: Float32Array | None = None) -> None:
        self._file = BlockFile(path)
        _check_codes(path, self._file)
        self.looked_at = np.zeros(3, dtype=np.int64)
        self._last = Chosen(np.empty(0, dtype=np.int32))
        if vectors is not None:
            _check_same(path, self._file, vectors)

    @property
    def n_items(self) -> int:
        """Number of vectors."""
        return self._file.shape[0]

    @cached_property
    def vectors(self) -> Float32Array:
        """What is searched, shape (n_items, d), by item row: read into memory as a whole when first wanted."""
        found = np.empty(self._file.shape, dtype=np.float32)
        for first in range(0, self.n_items, self._file.block_size):
            end = min(self.n_items, first + self._file.block_size)
            found[self._file.rows[first:end]] = self._file.vectors(first, end)
        return found

    def search(
        self, queries: Float32Array, k: int, allowed: BoolArray | None = None, excluded: csr_array | None = None
    ) -> TopK:
        """The k best allowed items of each query; see `protocols.Index`."""
        check_k(k)
        check_queries(queries, self._file.shape[1])
        check_masks((len(queries), self.n_items), allowed, excluded)
        if not compiled.suits(k):
            return scan(self._file, queries, k, allowed, self._by_place(excluded))
        found, is_open, counts = self._found(queries, k, allowed, excluded)
        self.looked_at += counts
        if is_open.any():
            some = np.flatnonzero(is_open)
            hidden = None if excluded is None else self._by_place(csr_array(excluded[some]))
            rest = scan(self._file, queries[some], k, allowed, hidden)
            found.rows[some], found.scores[some] = rest.rows, rest.scores
        return found

    def _found(
        self, queries: Float32Array, k: int, allowed: BoolArray | None, excluded: csr_array | None
    ) -> tuple[TopK, BoolArray, NDArray[np.int64]]:
        """By codes; of few that are allowed by their own."""
        places = bits = None
        if allowed is not None:
            rows = compiled.rows_of(allowed, Chosen.most(self._file))
            if rows is not None:
                self._last = last = self._last.next(rows, self._places, self._file, len(queries) * k)
                if last.part is not None:
                    return last.search(queries, k, allowed, excluded, self._places)
                places = np.sort(self._places[rows])
            elif not allowed.all():
                bits = np.packbits(allowed, bitorder="little")
        hidden = self._by_place(excluded)
        return compiled.search(queries, self._file, k, places, bits, None if hidden is None else _lists(hidden))

    @cached_property
    def _places(self) -> NDArray[np.int32]:
        """Of each item its place."""
        places = np.empty(self.n_items, dtype=np.int32)
        places[self._file.rows] = np.arange(self.n_items, dtype=np.int32)
        return places

    def _by_place(self, excluded: csr_array | None) -> csr_array | None:
        if excluded is None or not excluded.nnz:
            return None
        found = csr_array(
            (np.ones(excluded.nnz, np.bool_), self._places[excluded.indices], excluded.indptr), excluded.shape
        )
        found.sort_indices()
        return found


def _lists(hidden: csr_array) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    return hidden.indptr.astype(np.int64), hidden.indices.astype(np.int32)


def _check_codes(path: Path, file: BlockFile) -> None:
    """Look into some blocks whether codes and facts are those of the vectors: wrong ones would leave out the best."""
    starts = np.arange(0, file.shape[0], file.block_size)
    for first in starts[np.unique(np.linspace(0, len(starts) - 1, LOOKED_INTO).astype(np.int64))].tolist():
        part = slice(first, first + file.block_size)
        coded = encode(file.vectors(first, first + len(file.rows[part])))
        bounds = file.blocks[first // file.block_size]
        if not (
            np.array_equal(file.high[part], coded.high)
            and np.array_equal(file.low[part], coded.low)
            and np.allclose(file.leads[part], coded.leads, rtol=1e-5, atol=0)
            and np.allclose(file.rest[part], coded.rest, rtol=1e-5, atol=0)
            and np.allclose(bounds, coded.blocks[0], rtol=1e-5, atol=0)
        ):
            raise RetrievalError(f"{path} holds codes of other vectors than its own.")


def _check_same(path: Path, file: BlockFile, vectors: Float32Array) -> None:
    if file.shape != vectors.shape:
        raise RetrievalError(
            f"{path} holds {file.shape[0]} vectors of width {file.shape[1]}, expected {len(vectors)} of width "
            f"{vectors.shape[1]}."
        )
    largest = max(127 * float(file.leads[:, 0].max()), float(np.abs(file.leads[:, 1]).max()))
    for first in range(0, len(vectors), file.block_size):
        rows = file.rows[first : first + file.block_size]
        check_close(file.vectors(first, first + len(rows)), vectors[rows], largest)
