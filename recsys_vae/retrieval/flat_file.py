"""The file of FAISS's flat index, compared with vectors without FAISS, which only searches of it need."""

import struct
from pathlib import Path
from typing import Final

import numpy as np

from recsys_vae.protocols import Float32Array
from recsys_vae.retrieval.soundness import check_close

HEADER: Final = struct.Struct("<4siqqq?iQ")
"""Kind, width, vectors, two numbers that say nothing, whether it is trained, metric, numbers that follow."""
KIND, INNER_PRODUCT = b"IxFI", 0
ROWS_AT_ONCE = 4096


def holds(path: Path, vectors: Float32Array) -> bool:
    """Whether a file is a flat index of so many vectors, shape (n, d), which are then found to be these.

    Raises:
        RetrievalError: it holds others.
    """
    n, d = vectors.shape
    with path.open("rb") as file:
        beginning = file.read(HEADER.size)
        if len(beginning) < HEADER.size or path.stat().st_size != HEADER.size + vectors.nbytes:
            return False
        kind, width, length, *_, metric, size = HEADER.unpack(beginning)
        if (kind, width, length, metric, size) != (KIND, d, n, INNER_PRODUCT, vectors.size):
            return False
        room = np.empty((ROWS_AT_ONCE, d), dtype=np.float32)
        for start in range(0, n, ROWS_AT_ONCE):
            some = vectors[start : start + ROWS_AT_ONCE]
            held = room[: len(some)]
            file.readinto(held.reshape(-1).view(np.uint8).data)
            if not np.array_equal(held, some):
                check_close(held, some, float(np.abs(vectors).max()))
    return True
