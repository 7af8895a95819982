"""The k largest inner products of vectors that are also held in 8 bits, compiled (quantised.cpp).

Bounds on what 8 bits lose say which items can be among the best; only these are scored in float32. So lists are those
of `native.top_k`, bit for bit, from a quarter of the bytes and in about half of the time.
"""

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.mapped import Keep, as_made
from recsys_vae.native.library import chosen, library, loaded, threads
from recsys_vae.native.products import bytes_on_a_line
from recsys_vae.native.top_k import LARGEST_K, Choice, address, nothing_yet
from recsys_vae.protocols import BoolArray, Float32Array, Tensors, TopK

SMALLEST, FEW = 2**18, 8
"""Numbers in all vectors below which a plain scan is as fast, but for so few queries."""
NARROWEST = 16
"""Dimensions below which bounds cost as much as scores."""
MOST_CANDIDATES = 4096
"""Candidates, or 32 times k, above which a query is scanned for in float32: there the bounds tell too little apart."""
LARGEST_NORM = 1e15
"""Of vectors and queries; above it bounds could overflow, and a NaN is not below it."""
FACTS = 5


@dataclass(frozen=True, eq=False)
class Quantised:
    """Vectors, shape (n_items, d) float32, with their 8-bit codes and what the codes lose.

    Attributes:
        tiles: upper halves of the codes for a coarse look (coarse_look.h); None where nobody looks.
    """

    vectors: Float32Array
    codes: NDArray[np.uint8]
    facts: Float32Array
    tiles: NDArray[np.uint8] | None = None


def quantise(vectors: Float32Array, keep: Keep = as_made) -> Quantised | None:
    """Vectors, shape (n_items, d) float32, ready to be searched; None where that brings nothing or is not possible.

    `keep` keeps what is made of them.
    """
    d = vectors.shape[1]
    if d < NARROWEST or library() is None or not loaded().recsys_quantised_suits():
        return None
    vectors = np.ascontiguousarray(vectors)
    coded = keep(f"codes-{chosen().level.name}", lambda: _coded(vectors))
    codes, facts = coded["codes"].view(np.uint8), coded["facts"].view(np.float32)
    is_bounded = bool((np.abs(facts) < LARGEST_NORM).all())
    tiles = coded["tiles"].view(np.uint8) if "tiles" in coded else None
    return Quantised(vectors, codes, facts, tiles) if is_bounded else None


def _coded(vectors: Float32Array) -> Tensors:
    n, d = vectors.shape
    codes = np.empty((n, loaded().recsys_code_bytes(ctypes.c_int64(d))), dtype=np.uint8)
    facts = np.empty((n, FACTS), dtype=np.float32)
    shape = ctypes.c_int64(n), ctypes.c_int64(d)
    loaded().recsys_quantise(address(vectors), *shape, address(codes), address(facts))
    return {"codes": codes, "facts": facts} | _tiled(vectors, codes, facts)


def _tiled(vectors: Float32Array, codes: NDArray[np.uint8], facts: Float32Array) -> Tensors:
    """Tiles; nothing where nobody looks at them."""
    n_bytes, shape = loaded().recsys_tile_bytes, (ctypes.c_int64(len(vectors)), ctypes.c_int64(vectors.shape[1]))
    n_bytes.restype = ctypes.c_int64
    tiles = bytes_on_a_line(n_bytes(*shape))
    if not len(tiles):
        return {}
    loaded().recsys_tile(address(vectors), *shape, address(codes), address(facts), address(tiles))
    return {"tiles": tiles}


def suits(n: int, k: int, items: Quantised) -> bool:
    """Whether the k best for n queries are to be found here."""
    return k <= LARGEST_K and (n <= FEW or items.vectors.size >= SMALLEST)


def most_candidates(k: int) -> int:
    """Candidates of a query above which it is scanned for in float32."""
    return max(MOST_CANDIDATES, 32 * k)


def search(
    queries: Float32Array, items: Quantised, k: int, allowed: BoolArray | None, excluded: csr_array | None
) -> TopK:
    """As `native.top_k.search`, with the same result."""
    return counted_search(queries, items, k, allowed, excluded)[0]


def counted_search(
    queries: Float32Array, items: Quantised, k: int, allowed: BoolArray | None, excluded: csr_array | None
) -> tuple[TopK, int]:
    """The same, and for how many queries the bounds told too little apart, so that all was scanned in float32."""
    (n, d), queries = queries.shape, np.ascontiguousarray(queries)
    choice, found = Choice(allowed, excluded), nothing_yet(n, k)
    scanned = np.zeros(1, dtype=np.int64)
    loaded().recsys_quantised_top_k(
        address(queries),
        ctypes.c_int64(n),
        address(items.vectors),
        address(items.codes),
        address(items.facts),
        address(items.tiles),
        ctypes.c_int64(len(items.vectors)),
        ctypes.c_int64(d),
        *choice.arguments(),
        ctypes.c_int64(k),
        ctypes.c_int64(most_candidates(k)),
        address(found.rows),
        address(found.scores),
        address(scanned),
        ctypes.c_int(threads()),
    )
    return found, int(scanned[0])
