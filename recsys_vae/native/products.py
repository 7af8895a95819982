"""Products whose every sum is made in one order, compiled (products.cpp): a row has the same numbers in any batch.

Lists are made again from what was kept of them (`service/http/replay.py`), alone where they were computed in a batch.
Libraries multiply batches of other sizes by other loops, whose results differ in the last bits.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_vae.native.library import library, loaded, threads
from recsys_vae.native.top_k import address
from recsys_vae.protocols import Float32Array, Int64Array

LINE = 64
"""Bytes of a cache line, on which packed columns begin."""


def suits() -> bool:
    """Whether there are compiled loops."""
    return library() is not None


@dataclass(frozen=True, eq=False)
class Packed:
    """A matrix, shape (m, d) float32, ready to be multiplied with rows; it does not follow the matrix."""

    panels: Float32Array
    shape: tuple[int, int]

    @classmethod
    def of(cls, matrix: Float32Array) -> "Packed":
        """A copy, in the order in which it is read."""
        m, d = matrix.shape
        matrix, size = np.ascontiguousarray(matrix), loaded().recsys_packed_size
        size.restype = ctypes.c_int64
        panels = on_a_line(size(ctypes.c_int64(m), ctypes.c_int64(d)))
        loaded().recsys_pack(address(matrix), ctypes.c_int64(m), ctypes.c_int64(d), address(panels))
        return cls(panels, (m, d))

    def times(self, rows: Float32Array, bias: Float32Array | None = None) -> Float32Array:
        """rows @ matrix.T + bias, shape (n, m).

        Args:
            rows: shape (n, d) float32.
            bias: shape (m,) float32.
        """
        m, d = self.shape
        rows, found = np.ascontiguousarray(rows), np.empty((len(rows), m), dtype=np.float32)
        loaded().recsys_dense(
            address(rows),
            ctypes.c_int64(len(rows)),
            address(self.panels),
            ctypes.c_int64(m),
            ctypes.c_int64(d),
            address(bias),
            address(found),
            ctypes.c_int(threads()),
        )
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return _copied, (np.array(self.panels), self.shape)


def on_a_line(n: int) -> Float32Array:
    """Room for n numbers, from where a cache line begins: the loops read nothing else."""
    return bytes_on_a_line(4 * n).view(np.float32)


def bytes_on_a_line(n: int) -> NDArray[np.uint8]:
    """Room for n bytes, likewise."""
    room = np.empty(n + LINE, dtype=np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + n]


def _copied(panels: Float32Array, shape: tuple[int, int]) -> Packed:
    room = on_a_line(len(panels))
    room[:] = panels
    return Packed(room, shape)


def products(queries: Float32Array, vectors: Float32Array, rows: Int64Array | None = None) -> Float32Array:
    """queries @ vectors.T, or of some rows of the vectors alone, shape (n, n_items or len(rows)).

    Without compiled loops it is numpy's.

    Args:
        queries: shape (n, d) float32.
        vectors: shape (n_items, d) float32.
        rows: shape (n_wanted,) int64.
    """
    if not suits():
        return np.asarray(queries @ (vectors if rows is None else vectors[rows]).T)
    (n, d), n_items = queries.shape, len(vectors)
    queries, vectors = np.ascontiguousarray(queries), np.ascontiguousarray(vectors)
    found = np.empty((n, n_items if rows is None else len(rows)), dtype=np.float32)
    loaded().recsys_products(
        address(queries),
        ctypes.c_int64(n),
        address(vectors),
        ctypes.c_int64(n_items),
        ctypes.c_int64(d),
        address(rows),
        ctypes.c_int64(0 if rows is None else len(rows)),
        address(found),
        ctypes.c_int(threads()),
    )
    return found
