"""Writes a `BlockFile` in a stream: memory holds a few numbers an item and one segment of vectors."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import RetrievalError
from recsys_vae.native.quantised import LARGEST_NORM
from recsys_vae.protocols import Float32Array
from recsys_vae.retrieval.block_file import BLOCK, BLOCK_FACTS, REST, header, layout

SEGMENT_BYTES = 2**30
"""Vectors that are put into their new order at a time; the source is read once for each."""
ROWS_AT_ONCE = BLOCK
"""Vectors that are coded at a time; whole blocks."""
LARGEST_CODE, OFFSET, MIDDLE = 127, 128, 7.5
UP, TINY = 1 + 1e-4, np.finfo(np.float32).tiny
"""Bounds are rounded up by these, which is more than float32 loses in what codes lose."""

Report = Callable[[float], object]


def write_blocks(
    path: Path, vectors: Float32Array, *, queries: Float32Array | None = None, report: Report | None = None
) -> None:
    """Write vectors as an index file.

    Args:
        path: of the file, which is made or replaced.
        vectors: shape (n, d); a `numpy.memmap` is read piece by piece and never mapped as a whole.
        queries: shape (m, d), as they will be asked: blocks are ordered by the bounds that these have on average, which
            counts where the last dimension is a bias. Without them, by norm.
        report: told the share that is done, from 0 to 1.

    Raises:
        RetrievalError: there are no vectors, or numbers that are not finite or above 1e15.
        OSError: the disk is full.
    """
    n, d = vectors.shape
    if not n or not d or n >= 2**31:
        raise RetrievalError(f"An index on disk holds 1 to {2**31 - 1} vectors, got {n} of width {d}.")
    report = report or (lambda _: None)
    places = _places(vectors, queries)
    rows = np.empty(n, dtype=np.int32)
    rows[places] = np.arange(n, dtype=np.int32)
    beginning, starts = header(n, d)
    blocks = np.empty(layout(n, d)["blocks"][1], dtype=np.float32)
    step = max(1, SEGMENT_BYTES // (4 * d * BLOCK)) * BLOCK
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, starts[""])  # a disk that is full says so before the work

        def put(name: str, values: NDArray[np.generic], place: int) -> None:
            file.seek(starts[name] + place * values.nbytes // max(1, len(values)))
            file.write(values.data)

        file.write(beginning)
        for first in range(0, n, step):
            segment = _segment(vectors, places, first, min(step, n - first))
            put("vectors", segment, first)
            for at in range(0, len(segment), ROWS_AT_ONCE):
                some, place = segment[at : at + ROWS_AT_ONCE], first + at
                for name, values in (coded := encode(some)).parts().items():
                    put(name, values, place)
                blocks[place // BLOCK : -(-(place + len(some)) // BLOCK)] = coded.blocks
                report((place + len(some)) / n)
        put("rows", rows, 0)
        put("blocks", blocks, 0)


def pieces(vectors: Float32Array) -> Iterator[tuple[int, Float32Array]]:
    """Vectors in order, some rows at a time, each with its first row; of a mapped file read, not mapped."""
    (n, d), owner = vectors.shape, cast(object, vectors.base)
    for first in range(0, n, ROWS_AT_ONCE):
        count = min(ROWS_AT_ONCE, n - first)
        found = vectors[first : first + count]
        if isinstance(vectors, np.memmap) and isinstance(owner, mmap):  # the whole file's, not a view of it
            offset = vectors.offset + first * d * vectors.itemsize
            read = np.fromfile(str(vectors.filename), vectors.dtype, count * d, offset=offset)
            found = read.reshape(count, d).astype(np.float32, copy=False)
        yield first, np.ascontiguousarray(found, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Coded:
    """Parts of a `BlockFile`, of some blocks."""

    high: NDArray[np.uint8]
    low: NDArray[np.uint8]
    leads: Float32Array
    rest: Float32Array
    blocks: Float32Array

    def parts(self) -> dict[str, NDArray[np.generic]]:
        """By name, those that have a row an item."""
        return {"high": self.high, "low": self.low, "leads": self.leads, "rest": self.rest}


def encode(vectors: Float32Array) -> Coded:
    """Codes, facts and bounds of whole blocks of vectors, shape (n, d)."""
    n, d = vectors.shape
    head, last = vectors[:, :-1], vectors[:, -1]
    scale = np.abs(head).max(axis=1, initial=0) / np.float32(LARGEST_CODE)
    inverse, is_scaled = np.zeros_like(scale), scale > np.finfo(np.float32).tiny
    np.divide(1, scale, out=inverse, where=is_scaled)
    integers = head * inverse[:, None]
    np.clip(np.rint(integers, out=integers), -LARGEST_CODE, LARGEST_CODE, out=integers)
    half = layout(n, d)["high"][1][1]
    codes = np.full((n, 2 * half), OFFSET, dtype=np.uint8)
    np.add(integers, OFFSET, out=codes[:, : d - 1], casting="unsafe")
    above = ((codes[:, : d - 1] >> 4) * np.float32(16) + np.float32(MIDDLE - OFFSET)) * scale[:, None]
    integers *= scale[:, None]
    norms = _norms(head)
    rest = np.empty((n, REST), dtype=np.float32)
    rest[:, 0] = _norms(integers) * UP + TINY
    rest[:, 1] = _norms(np.subtract(head, integers, out=integers)) * UP + TINY
    rest[:, 2] = (d + 16) * 2.0**-23 * np.hypot(norms, last) * UP + TINY  # of d products' sum, twice over
    starts = np.arange(0, n, BLOCK)
    blocks = np.empty((len(starts), BLOCK_FACTS), dtype=np.float32)
    blocks[:, 0] = np.maximum.reduceat((norms * UP + TINY).astype(np.float32), starts)
    blocks[:, 1], blocks[:, 2] = np.maximum.reduceat(last, starts), np.minimum.reduceat(last, starts)
    blocks[:, 3] = np.maximum.reduceat(rest[:, 2], starts)
    lost = _norms(head - above) * UP + TINY
    shares = np.divide(lost, scale, out=np.zeros_like(lost), where=is_scaled)
    blocks[:, 4] = np.maximum.reduceat(shares, starts) * UP
    blocks[:, 5] = np.maximum.reduceat(np.where(is_scaled, 0, lost), starts) * UP
    blocks[:, 6] = np.maximum.reduceat(_norms(above), starts) * UP + TINY
    lower, upper = codes[:, :half], codes[:, half:]
    four, below = np.uint8(4), np.uint8(15)
    high, low = lower >> four | upper & ~below, lower & below | upper << four
    return Coded(high, low, np.stack([scale, last], axis=1), rest, blocks)


def _norms(vectors: Float32Array) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)))


def _places(vectors: Float32Array, queries: Float32Array | None) -> NDArray[np.int32]:
    """Of each item its place: by falling bound, and within a block by row."""
    keys = np.empty(len(vectors), dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for first, some in pieces(vectors):
            squares = np.einsum("nd,nd->n", some, some, dtype=np.float64)
            if not (squares < LARGEST_NORM**2).all():
                raise RetrievalError(
                    "Item vectors hold numbers that are not finite, or too large for an index on disk: use flat."
                )
            keys[first : first + len(some)] = -_expected(squares, some[:, -1], queries)
    order = np.argsort(keys, kind="stable").astype(np.int32)
    for first in range(0, len(order), BLOCK):
        order[first : first + BLOCK].sort()
    places = np.empty_like(order)
    places[order] = np.arange(len(order), dtype=np.int32)
    return places


def _expected(
    squares: NDArray[np.float64], last: Float32Array, queries: Float32Array | None
) -> NDArray[np.float64] | Float32Array:
    """The bound |q| |v| + q_d v_d that queries have on average; without them the norm."""
    if queries is None or not len(queries):
        return np.sqrt(squares)
    heads = np.linalg.norm(queries[:, :-1].astype(np.float64), axis=1).mean()
    return np.asarray(
        heads * np.sqrt(np.maximum(squares - last.astype(np.float64) ** 2, 0)) + queries[:, -1].mean() * last
    )


def _segment(vectors: Float32Array, places: NDArray[np.int32], first: int, count: int) -> Float32Array:
    """Vectors of the places first .. first + count - 1."""
    found = np.empty((count, vectors.shape[1]), dtype=np.float32)
    for row, some in pieces(vectors):
        there = places[row : row + len(some)] - first
        mine = (there >= 0) & (there < count)
        found[there[mine]] = some[mine]
    return found
