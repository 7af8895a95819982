"""Tables of text, compiled (tables.cpp): lines cut into fields, numbers read, texts numbered, rows of users in order.

Loaded without torch. Nothing depends on it for its results: where it was not compiled, or with RECSYS_NATIVE=0, its
callers do the same with numpy and polars, slower.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_vae.native.build import TABLES
from recsys_vae.native.plain_library import PlainLibrary

Bytes = NDArray[np.uint8]
Numbers = tuple[NDArray[Any], NDArray[np.bool_] | None]
"""Numbers, and which of them are known; None: all."""
LARGEST = 1 << 31
"""Bytes of the largest block whose fields can be told apart."""
WHOLE_NUMBERS, DECIMALS, TEXTS, LEFT_OUT = 0, 1, 2, -1
"""Kinds of columns."""
_TYPES = {WHOLE_NUMBERS: (np.int64, np.bool_), DECIMALS: (np.float64, np.bool_), TEXTS: (np.uint32, np.uint32)}
LINE_FEED = 10
_LIBRARY = PlainLibrary(
    TABLES,
    newest="recsys_byte_order",
    counting=[
        "recsys_cut_lines",
        "recsys_whole_numbers",
        "recsys_decimals",
        "recsys_codes_size",
        "recsys_codes_bytes",
        "recsys_codes_add",
        "recsys_core_round",
        "recsys_count_byte",
        "recsys_codes_of_numbers",
        "recsys_distinct_rows",
        "recsys_keep_rows",
    ],
    pointing=["recsys_codes_new"],
)
tables, description = _LIBRARY.get, _LIBRARY.description


class LineColumns:
    """Columns of lines that are all alike, read in one pass.

    Attributes:
        numbers: of each column of numbers these.
        texts: of each column of texts where they begin, and their sizes.
    """

    def __init__(self, numbers: dict[int, Numbers], texts: dict[int, tuple[NDArray[np.uint32], NDArray[np.uint32]]]):
        self.numbers, self.texts = numbers, texts


def read_lines(
    library: ctypes.CDLL, data: bytes | Bytes, separator: int, kinds: Sequence[int], lines: int
) -> LineColumns | None:
    """Read lines that have a field for each of `kinds`; None where a line or a field is anything else.

    Args:
        data: ends with a line feed; shorter than `LARGEST`. Texts are told by where they stand in it.
        separator: one byte.
        kinds: of each column `WHOLE_NUMBERS`, `DECIMALS` or `TEXTS`, or `LEFT_OUT`.
        lines: how many there are.
    """
    pairs: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {
        place: (np.empty(lines, _TYPES[kind][0]), np.empty(lines, _TYPES[kind][1]))
        for place, kind in enumerate(kinds)
        if kind != LEFT_OUT
    }
    addresses = np.zeros((2, len(kinds)), np.uintp)
    for place, pair in pairs.items():
        addresses[:, place] = [array.ctypes.data for array in pair]
    empty, each = np.zeros(len(kinds), np.int64), np.array(kinds, np.int8)
    failed = library.recsys_read_lines(
        at(np.frombuffer(data, np.uint8)), i64(len(data)), ctypes.c_int32(separator), i64(len(kinds)),
        at(each), i64(lines), at(addresses[0]), at(addresses[1]), at(empty),
    )  # fmt: skip
    if failed:
        return None
    texts = {place: pair for place, pair in pairs.items() if kinds[place] == TEXTS}
    numbers = {
        place: (found, known if empty[place] else None) for place, (found, known) in pairs.items() if place not in texts
    }
    return LineColumns(numbers, texts)


def read_json_lines(
    library: ctypes.CDLL, data: bytes, names: Sequence[str], lines: int
) -> tuple[LineColumns, list[int]] | None:
    """Values of the named keys of lines that are objects, and the places of keys that no line has; None where a line or
    a value needs a closer look.

    Args:
        data: UTF-8, ends with a line feed; shorter than `LARGEST`.
        names: keys, whose places are those of the columns.
        lines: how many there are.
    """  # fmt: skip
    encoded = [name.encode() for name in names]
    sizes = np.array([len(name) for name in encoded], np.uint32)
    kinds, counts = np.empty(len(names), np.int8), np.empty((2, len(names)), np.int64)
    values = np.zeros((len(names), lines), np.int64)
    others = np.zeros((len(names), lines), np.uint32)
    addresses = np.array([[row.ctypes.data for row in array] for array in (values, others)], np.uintp).reshape(2, -1)
    failed = library.recsys_read_json_lines(
        ctypes.c_char_p(data), i64(len(data)), ctypes.c_char_p(b"".join(encoded)), at(sizes), i64(len(names)),
        i64(lines), at(kinds), at(addresses[0]), at(addresses[1]), at(counts[0]), at(counts[1]),
    )  # fmt: skip
    met, named = counts
    if failed or ((met == 0) & (named > 0)).any():
        return None
    found = LineColumns({}, {})
    for place in np.flatnonzero(met).tolist():
        if kinds[place] == TEXTS:
            found.texts[place] = values[place].view(np.uint32)[:lines], others[place]
        else:
            known = others[place].view(np.bool_)[:lines] if met[place] < lines else None
            found.numbers[place] = values[place].view(_TYPES[int(kinds[place])][0]), known
    return found, np.flatnonzero(named == 0).tolist()


def release_memory() -> None:
    """Give memory that is free, but held for more of its kind, back to the system."""
    library = tables()
    if library is not None:
        library.recsys_release_memory()


def count_lines(data: bytes | Bytes) -> int:
    """Line feeds in it."""
    library, content = tables(), np.frombuffer(data, np.uint8)
    if library is None:
        return int(np.count_nonzero(content == LINE_FEED))
    return int(library.recsys_count_byte(at(content), i64(len(content)), ctypes.c_int32(LINE_FEED)))


def kind_of(field: bytes) -> int:
    """The kind of the column that a field seems to be of."""
    before, point, after = field.removeprefix(b"-").partition(b".")
    if not before.isdigit() or (point and not after.isdigit()):
        return TEXTS
    return DECIMALS if point else WHOLE_NUMBERS


def is_text(data: bytes) -> bool:
    """Whether bytes are UTF-8."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class FieldTable:
    """Fields of some lines.

    Attributes:
        states: of each line 0 where it has as many fields as there are columns, 1: blank, 2: it has more, 3: fewer.
        regular: whether all states are 0.
    """

    def __init__(self, library: ctypes.CDLL, data: bytes, separator: int, columns: int, wanted: list[int], lines: int):
        """Cut lines.

        Args:
            data: ends with a line feed; shorter than `LARGEST`.
            separator: one byte.
            columns: how many there are.
            wanted: places of those that are read, ascending.
            lines: how many there are.
        """
        self._library, self._data, self._lines = library, data, lines
        self._wanted = wanted
        slots = np.full(max(columns, 1), -1, np.int32)
        slots[wanted] = np.arange(len(wanted))
        self._starts = np.empty((len(wanted), lines), np.uint32)
        self._sizes = np.empty((len(wanted), lines), np.uint32)
        self.states = np.empty(lines, np.uint8)
        found = library.recsys_cut_lines(
            ctypes.c_char_p(data), i64(len(data)), ctypes.c_int32(separator), i64(columns), at(slots), i64(lines),
            at(self._starts), at(self._sizes), at(self.states),
        )  # fmt: skip
        if found < 0:
            raise ValueError(f"There are not {lines} lines.")
        self.regular = found == 0

    def whole_numbers(self, slot: int) -> Numbers | None:
        """A wanted column as whole numbers; None where it holds anything else."""
        return self._numbers(slot, np.int64, self._library.recsys_whole_numbers)

    def decimals(self, slot: int) -> Numbers | None:
        """A wanted column as decimals, likewise."""
        return self._numbers(slot, np.float64, self._library.recsys_decimals)

    def texts(self, slot: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """A wanted column as texts: where they begin, and their sizes."""
        return self._starts[slot], self._sizes[slot]

    def _numbers(self, slot: int, dtype: Any, read: Any) -> Numbers | None:
        numbers, known = np.empty(self._lines, dtype), np.empty(self._lines, bool)
        empty = read(
            ctypes.c_char_p(self._data), at(self._starts[slot]), at(self._sizes[slot]), i64(self._lines),
            at(numbers), at(known),
        )  # fmt: skip
        return None if empty < 0 else (numbers, known if empty else None)


def gather_texts(
    library: ctypes.CDLL, data: bytes, starts: NDArray[np.uint32], sizes: NDArray[np.uint32]
) -> tuple[Bytes, NDArray[np.int64]]:
    """Texts one after the other, and where each begins and ends, shape (n + 1,)."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    found = np.empty(offsets[-1], np.uint8)
    library.recsys_gather_texts(ctypes.c_char_p(data), at(starts), at(sizes), i64(len(sizes)), at(found))
    return found, offsets


class TextCodes:
    """Numbers of texts, in the order of their first appearance."""

    EMPTY = 0xFFFFFFFF

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._codes = ctypes.c_void_p(library.recsys_codes_new())

    def __del__(self) -> None:
        self._library.recsys_codes_free(self._codes)

    def __len__(self) -> int:
        return int(self._library.recsys_codes_size(self._codes))

    def add(self, data: bytes, starts: NDArray[np.uint32], sizes: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """The number of each of the texts that begin at `starts` in `data`."""
        found = np.empty(len(starts), np.uint32)
        self._library.recsys_codes_add(
            self._codes, ctypes.c_char_p(data), at(starts), at(sizes), i64(len(starts)), at(found)
        )
        return found

    def texts(self, first: int = 0) -> tuple[Bytes, NDArray[np.int64]]:
        """Texts from a number on, in UTF-8 one after the other, and where each begins and ends, shape (n + 1,)."""
        data = np.empty(self._library.recsys_codes_bytes(self._codes, i64(first)), np.uint8)
        offsets = np.zeros(len(self) - first + 1, np.int64)
        self._library.recsys_codes_texts(self._codes, i64(first), at(data), at(offsets[1:]))
        return data, offsets


def byte_order(library: ctypes.CDLL, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Whole numbers, each once, in the byte order of their digits; and of each number up to the largest its place.

    Args:
        numbers: shape (n,), n > 0; none below zero. The places of numbers that are not among them mean nothing.
    """
    ordered, places = np.empty(len(numbers), np.int64), np.zeros(int(numbers.max()) + 1, np.uint32)
    library.recsys_byte_order(at(numbers), i64(len(numbers)), i64(len(places)), at(places), at(ordered))
    return ordered, places


def codes_of_numbers(
    library: ctypes.CDLL, numbers: NDArray[np.int64], table: NDArray[np.uint32], first: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]] | int:
    """Codes of whole numbers, and those that are new. Where one is beyond the table, the largest alone; below zero: -1.

    Args:
        table: of each number its code, `TextCodes.EMPTY` for none; new ones are added.
        first: the code of the first that is new.
    """  # fmt: skip
    codes, met = np.empty(len(numbers), np.uint32), np.empty(min(len(numbers), len(table)), np.int64)
    added = library.recsys_codes_of_numbers(
        at(numbers),
        i64(len(numbers)),
        at(table),
        i64(len(table)),
        ctypes.c_uint32(first),
        at(codes),
        at(met),
    )
    if added < 0:
        return -1 if added == -(1 << 63) else int(-1 - added)
    return codes, met[:added].copy()


def at(array: NDArray[Any]) -> ctypes.c_void_p:
    """Where an array begins; who calls keeps it until the loop has ended."""
    return ctypes.c_void_p(array.ctypes.data)


def i64(number: int) -> ctypes.c_int64:
    """A number as the loops take it."""
    return ctypes.c_int64(number)
