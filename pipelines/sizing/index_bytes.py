"""Bytes of an index by its kind: of the file, and of what a service holds that answers from it.

n items of d dimensions, the bias among them; D is d - 1 rounded up to sixteens, F to fours, E to eights; W is d + 1
rounded up to eights. Codes in memory are of 8 bits, n (F + 20), and, up to 449 dimensions, of 4, n (E / 2 + 16).

             file                                                        held
    flat     4 n d                                                       vectors, and codes
    ivf      4 n (d + 1) + 8 n, 4 (d + 1) a list                         the file, vectors and codes
    ivfpq    n (W / 8 + 8), 4 W a list, 1,024 W                          the file, vectors and codes
    hnsw     4 n (d + 1), and 4 n (64 + 32/31) + 12 n of the graph       the file, vectors and codes
    ondisk   4 n d + n (D + 24)                                          the file, and 4 n; no codes besides

A service holds the vectors of `ondisk` too, for they say which items are alike; a process that only searches does not.
An index that is not exact scans the vectors where a filter or a tie leaves something open.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from recsys_vae.native.quantised import FACTS
from recsys_vae.retrieval.faiss_index import LINKS, code_bits, lists_of, width_in
from recsys_vae.retrieval.index_files import KINDS, ONDISK

CODE_FACTS, CODE_GROUP, DISK_GROUP = 4 * FACTS, 4, 16
"""Bytes beside the 8-bit codes of a vector, and dimensions in whose multiples codes are in memory, and in files."""
COARSE_WIDTH, COARSE_FACTS, COARSE_GROUP = 449, 16, 8
"""Dimensions up to which there are codes of 4 bits, and the same of these (native/coarse_look.h)."""
DEEPER = LINKS / (LINKS - 1)
"""Neighbours of an item on the higher levels of a graph, about."""


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
    vectors = 4.0 * n * d
    if kind == ONDISK:
        file = vectors + n * (_up_to(d - 1, DISK_GROUP) + CODE_FACTS + 4.0)
        return IndexBytes(kind, file, file + 4.0 * n)
    codes = n * (_up_to(d - 1, CODE_GROUP) + CODE_FACTS)
    if d <= COARSE_WIDTH:
        codes += n * (_up_to(d - 1, COARSE_GROUP) // 2 + COARSE_FACTS)
    bits, lists, wide = code_bits(n), lists_of(n), width_in(d, "ivfpq")
    file = {
        "flat": vectors,
        "ivf": 4.0 * n * (d + 1) + 8.0 * n + 4.0 * lists * (d + 1),
        "ivfpq": n * (-(-wide * bits // 64) + 8.0) + 4.0 * lists * wide + 4.0 * 2**bits * wide,
        "hnsw": 4.0 * n * (d + 1) + 4.0 * n * (2 * LINKS + DEEPER) + 12.0 * n,
    }[kind]
    return IndexBytes(kind, file, vectors + codes + (0.0 if kind == "flat" else file))


def _up_to(dimensions: int, group: int) -> int:
    """Dimensions, one at least, filled up to whole groups."""
    return -(-max(dimensions, 1) // group) * group


def all_kinds(n: int, d: int) -> Iterator[IndexBytes]:
    """Of all kinds."""
    return (index_bytes(kind, n, d) for kind in KINDS)
