"""Lines in a buffer that is used again for the next ones, read by the loops of tables.cpp.

`tables.read_lines` takes bytes: each block stands in memory of its own then, which the system must clear first.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_vae.native.tables import LEFT_OUT, LINE_FEED, TEXTS, WHOLE_NUMBERS, Bytes, LineColumns, at, i64


def count_lines(library: ctypes.CDLL, buffer: Bytes) -> int:
    """Line feeds in it."""
    return int(library.recsys_count_byte(at(buffer), i64(len(buffer)), ctypes.c_int32(LINE_FEED)))


def read_lines(
    library: ctypes.CDLL, buffer: Bytes, separator: int, kinds: Sequence[int], lines: int
) -> LineColumns | None:
    """As `tables.read_lines`; texts are told by where they stand in the buffer.

    Args:
        buffer: ends with a line feed; shorter than `tables.LARGEST`.
        separator: one byte.
        kinds: of each column `WHOLE_NUMBERS`, `DECIMALS`, `TEXTS` or `LEFT_OUT`.
        lines: how many there are.
    """
    pairs = {place: _room(kind, lines) for place, kind in enumerate(kinds) if kind != LEFT_OUT}
    addresses = np.zeros((2, len(kinds)), np.uintp)
    for place, pair in pairs.items():
        addresses[:, place] = [array.ctypes.data for array in pair]
    empty, each = np.zeros(len(kinds), np.int64), np.array(kinds, np.int8)
    failed = library.recsys_read_lines(
        at(buffer), i64(len(buffer)), ctypes.c_int32(separator), i64(len(kinds)), at(each), i64(lines),
        at(addresses[0]), at(addresses[1]), at(empty),
    )  # fmt: skip
    if failed:
        return None
    texts = {place: pair for place, pair in pairs.items() if kinds[place] == TEXTS}
    numbers = {
        place: (found, known if empty[place] else None) for place, (found, known) in pairs.items() if place not in texts
    }
    return LineColumns(numbers, texts)


def _room(kind: int, lines: int) -> tuple[NDArray[Any], NDArray[Any]]:
    if kind == TEXTS:
        return np.empty(lines, np.uint32), np.empty(lines, np.uint32)
    return np.empty(lines, np.int64 if kind == WHOLE_NUMBERS else np.float64), np.empty(lines, np.bool_)
