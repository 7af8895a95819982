"""Streams: random numbers by counter, so that any block of users is drawn by itself, in any order, by any process.

Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011 (Philox 4x64).
"""

from enum import IntEnum

import numpy as np

BLOCK_BITS = 40


class Stream(IntEnum):
    """What random numbers are for: no two of these share any."""

    ITEMS = 1
    USERS = 2
    EVENTS = 3
    DIRT = 4
    METADATA = 5


def stream(seed: int, purpose: Stream, block: int = 0) -> np.random.Generator:
    """The random numbers of one purpose and block of users."""
    key = np.array([seed, (int(purpose) << BLOCK_BITS) + block], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
