"""Bytes of an index by its kind: of the file, and of what a service holds that answers from it.

n items of d dimensions, the bias among them; D of 16 a group is d - 1 rounded up, W is d + 1 rounded up to eights:

             file                                                        held
    flat     4 n d                                                       vectors, and 8-bit codes: n (D + 20)
    ivf      4 n (d + 1) + 8 n, 4 (d + 1) a list                         the file, vectors and codes
    ivfpq    n (W / 8 + 8), 4 W a list, 1,024 W                          the file, vectors and codes
    hnsw     4 n (d + 1), and 4 n (64 + 32/31) + 12 n of the graph       the file, vectors and codes
    ondisk   4 n d + n (D + 24)                                          the file, and 4 n

A service holds the vectors of `ondisk` too, for they say which items are alike; a process that only searches does not.
An index that is not exact scans the vectors where a filter or a tie leaves something open.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recsys_vae.retrieval.faiss_index import FULL_CODEBOOK
from recsys_vae.retrieval.index_files import KINDS, ONDISK

FACTS, GROUP = 20, 16
"""Bytes beside the codes of a vector, and dimensions in whose multiples there are codes."""
LINKS, DEEPER = 64, 32 / 31
"""Neighbours of an item in a graph, and those on its higher levels, about."""


@dataclass(frozen=True)
class IndexBytes:
    """Of one kind.

    Attributes:
        kind: of the index.
        disk: of its file.
        memory: held by a service that has answered.
    """

    kind: str
    disk: float
    memory: float


def index_bytes(kind: str, n: int, d: int) -> IndexBytes:
    """Of an index of a kind over n vectors of width d; nothing where there are no vectors."""
    if not n or not d:
        return IndexBytes(kind, 0.0, 0.0)
    vectors, codes = 4.0 * n * d, n * (-(-max(d - 1, 1) // GROUP) * GROUP + FACTS)
    if kind == ONDISK:
        file = vectors + codes + 4.0 * n
        return IndexBytes(kind, file, file + 4.0 * n)
    bits = 8 if n >= FULL_CODEBOOK else 4
    lists, wide = max(1, min(n // 39, int(4 * np.sqrt(n)))), -(-(d + 1) // 8) * 8
    file = {
        "flat": vectors,
        "ivf": 4.0 * n * (d + 1) + 8.0 * n + 4.0 * lists * (d + 1),
        "ivfpq": n * (-(-wide * bits // 64) + 8.0) + 4.0 * lists * wide + 4.0 * 2**bits * wide,
        "hnsw": 4.0 * n * (d + 1) + 4.0 * n * (LINKS + DEEPER) + 12.0 * n,
    }[kind]
    return IndexBytes(kind, file, vectors + codes + (0.0 if kind == "flat" else file))


def all_kinds(n: int, d: int) -> Iterator[IndexBytes]:
    """Of all kinds."""
    return (index_bytes(kind, n, d) for kind in KINDS)
