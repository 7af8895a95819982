"""Row numbers of ids by a hash table over their bytes, compiled (lookup.cpp): many at a time, as a batch brings them.

A dict of Python's waits for the memory several times an id: for its slot, for the key, for the number.
"""

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys_vae.native.library import library, loaded
from recsys_vae.native.top_k import address
from recsys_vae.protocols import Int64Array

SPARSENESS = 2
"""Slots an id, at least."""
NO_ID = -1


class Lookup:
    """Ids, each at its row.

    Args:
        ids: different from each other, at most 2^31 - 1 of them.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self._bytes, self._offsets = _packed(ids)
        n_slots = 1 << max(1, (SPARSENESS * len(ids)).bit_length())
        self._slots = np.full((n_slots, 2), NO_ID, dtype=np.int32)
        loaded().recsys_lookup_build(*self._ids(), ctypes.c_int64(len(ids)), *self._table())

    def rows(self, ids: Sequence[str]) -> Int64Array:
        """Rows of these ids, shape (len(ids),); -1 for those that are not here."""
        wanted, starts = _packed(ids)
        rows = np.empty(len(ids), dtype=np.int64)
        loaded().recsys_lookup(
            *self._ids(), *self._table(), address(wanted), address(starts), ctypes.c_int64(len(ids)), address(rows)
        )
        return rows

    @property
    def longest(self) -> int:
        """Bytes of the longest id."""
        return int(np.diff(self._offsets).max(initial=0))

    @property
    def is_plain(self) -> bool:
        """Whether JSON has every id as it is, between quotes."""
        special = (
            (self._bytes < ord(" ")) | (self._bytes == ord('"')) | (self._bytes == ord("\\")) | (self._bytes == 127)
        )
        return not special.any()

    def arguments(self) -> tuple[ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]:
        """All ids in one, where each starts, and the table, for other compiled code; valid as long as this is."""
        return (*self._ids(), *self._table())

    def _ids(self) -> tuple[ctypes.c_void_p, ctypes.c_void_p]:
        return address(self._bytes), address(self._offsets)

    def _table(self) -> tuple[ctypes.c_void_p, ctypes.c_int64]:
        return address(self._slots), ctypes.c_int64(len(self._slots))


def lookup(ids: Sequence[str]) -> Lookup | None:
    """A table of these ids; None where nothing is compiled."""
    return None if library() is None else Lookup(ids)


def _packed(ids: Sequence[str]) -> tuple[NDArray[np.uint8], Int64Array]:
    """UTF-8 of all ids, one after the other, and where each starts, shape (len(ids) + 1,)."""
    joined = "".join(ids)
    written = joined.encode()
    sizes = map(len, ids) if len(written) == len(joined) else (len(part.encode()) for part in ids)
    starts = np.zeros(len(ids) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(sizes, dtype=np.int64, count=len(ids)), out=starts[1:])
    return np.frombuffer(written, dtype=np.uint8), starts
