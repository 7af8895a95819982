"""Writes a `BlockFile` in a stream: memory holds a few numbers an item and one segment of vectors."""

import os
from collections.abc import Callable, Iterator
from mmap import mmap
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import RetrievalError
from recsys_vae.native.quantised import LARGEST_NORM
from recsys_vae.protocols import Float32Array
from recsys_vae.retrieval.block_file import BLOCK, BLOCK_FACTS, FACTS, header, layout

SEGMENT_BYTES = 2**30
"""Vectors that are put into their new order at a time; the source is read once for each."""
ROWS_AT_ONCE = BLOCK
"""Vectors that are coded at a time; whole blocks."""
LARGEST_CODE, OFFSET = 127, 128
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
                codes, facts, heads = encode(some)
                put("codes", codes, place)
                put("facts", facts, place)
                blocks[place // BLOCK : -(-(place + len(some)) // BLOCK)] = _bounds(facts, heads)
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


def encode(vectors: Float32Array) -> tuple[NDArray[np.uint8], Float32Array, Float32Array]:
    """Codes and facts of vectors, shape (n, d), as `BlockFile` has them, and norms of all dimensions but the last."""
    n, d = vectors.shape
    head = vectors[:, :-1]
    scale = np.abs(head).max(axis=1, initial=0) / np.float32(LARGEST_CODE)
    inverse = np.zeros_like(scale)
    np.divide(1, scale, out=inverse, where=scale > np.finfo(np.float32).tiny)
    integers = head * inverse[:, None]
    np.clip(np.rint(integers, out=integers), -LARGEST_CODE, LARGEST_CODE, out=integers)
    codes = np.full(layout(n, d)["codes"][1], OFFSET, dtype=np.uint8)
    np.add(integers, OFFSET, out=codes[:, : d - 1], casting="unsafe")
    integers *= scale[:, None]
    norms = _norms(head)
    facts = np.empty((n, FACTS), dtype=np.float32)
    facts[:, 0], facts[:, 1] = scale, _norms(integers) * UP + TINY
    facts[:, 2] = _norms(np.subtract(head, integers, out=integers)) * UP + TINY
    facts[:, 3] = vectors[:, -1]
    facts[:, 4] = (d + 16) * 2.0**-23 * np.hypot(norms, vectors[:, -1]) * UP + TINY  # of d products' sum, twice over
    return codes, facts, (norms * UP + TINY).astype(np.float32)


def _norms(vectors: Float32Array) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)))


def _bounds(facts: Float32Array, heads: Float32Array) -> Float32Array:
    starts = np.arange(0, len(facts), BLOCK)
    found = np.empty((len(starts), BLOCK_FACTS), dtype=np.float32)
    found[:, 0] = np.maximum.reduceat(heads, starts)
    found[:, 1], found[:, 2] = np.maximum.reduceat(facts[:, 3], starts), np.minimum.reduceat(facts[:, 3], starts)
    found[:, 3] = np.maximum.reduceat(facts[:, 4], starts)
    return found


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
