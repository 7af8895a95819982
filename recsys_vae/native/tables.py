"""Tables of text, compiled (tables.cpp): lines cut into fields, numbers read, texts numbered, rows of users in order.

Loaded without torch. Nothing depends on it for its results: where it was not compiled, or with RECSYS_NATIVE=0, its
callers do the same with numpy and polars, slower.
"""

import ctypes
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import UnknownNameError
from recsys_vae.native.build import COMPILED, TABLES
from recsys_vae.native.switch import SWITCH, is_off

Bytes = NDArray[np.uint8]
Numbers = tuple[NDArray[Any], NDArray[np.bool_] | None]
"""Numbers, and which of them are known; None: all."""
LARGEST = 1 << 31
"""Bytes of the largest block whose fields can be told apart."""
WHOLE_NUMBERS, DECIMALS, TEXTS, LEFT_OUT = 0, 1, 2, -1
"""Kinds of columns."""
_TYPES = {WHOLE_NUMBERS: (np.int64, np.bool_), DECIMALS: (np.float64, np.bool_), TEXTS: (np.uint32, np.uint32)}
LINE_FEED = 10


def tables() -> ctypes.CDLL | None:
    """The library, None where it cannot be had.

    Raises:
        UnknownNameError: RECSYS_NATIVE names no level.
    """
    return None if is_off(os.environ.get(SWITCH, "1")) else _loaded()


def description() -> str:
    """For people: whether it is used, or why not."""
    try:
        if is_off(os.environ.get(SWITCH, "1")):
            return f"not used: {SWITCH}=0"
    except UnknownNameError as error:
        return f"not used: {error}"
    return "in use" if _loaded() is not None else "not used: not compiled when this was installed"


@lru_cache(maxsize=1)
def _loaded() -> ctypes.CDLL | None:
    try:
        found = ctypes.CDLL(str(COMPILED / f"{TABLES}.so"))
    except OSError:
        return None
    for name in (
        "cut_lines",
        "whole_numbers",
        "decimals",
        "codes_size",
        "codes_bytes",
        "codes_add",
        "core_round",
        "count_byte",
        "codes_of_numbers",
        "distinct_rows",
        "keep_rows",
    ):
        getattr(found, f"recsys_{name}").restype = ctypes.c_int64
    found.recsys_codes_new.restype = ctypes.c_void_p
    return found


class LineColumns:
    """Columns of lines that are all alike, read in one pass.

    Attributes:
        numbers: of each column of numbers these.
        texts: of each column of texts where they begin, and their sizes.
    """

    def __init__(self, numbers: dict[int, Numbers], texts: dict[int, tuple[NDArray[np.uint32], NDArray[np.uint32]]]):
        self.numbers, self.texts = numbers, texts


def read_lines(
    library: ctypes.CDLL, data: bytes, separator: int, kinds: Sequence[int], lines: int
) -> LineColumns | None:
    """Read lines that have a field for each of `kinds`; None where a line or a field is anything else.

    Args:
        data: ends with a line feed; shorter than `LARGEST`.
        separator: one byte.
        kinds: of each column `WHOLE_NUMBERS`, `DECIMALS` or `TEXTS`, or `LEFT_OUT`.
        lines: how many there are.
    """
    pairs = {
        place: (np.empty(lines, _TYPES[kind][0]), np.empty(lines, _TYPES[kind][1]))
        for place, kind in enumerate(kinds)
        if kind != LEFT_OUT
    }
    addresses = np.zeros((2, len(kinds)), np.uintp)
    for place, pair in pairs.items():
        addresses[:, place] = [array.ctypes.data for array in pair]
    empty, each = np.zeros(len(kinds), np.int64), np.array(kinds, np.int8)
    failed = library.recsys_read_lines(
        ctypes.c_char_p(data), _int(len(data)), ctypes.c_int32(separator), _int(len(kinds)),
        _at(each), _int(lines), _at(addresses[0]), _at(addresses[1]), _at(empty),
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
        ctypes.c_char_p(data), _int(len(data)), ctypes.c_char_p(b"".join(encoded)), _at(sizes), _int(len(names)),
        _int(lines), _at(kinds), _at(addresses[0]), _at(addresses[1]), _at(counts[0]), _at(counts[1]),
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


def count_lines(data: bytes) -> int:
    """Line feeds in it."""
    library = tables()
    if library is None:
        return int(np.count_nonzero(np.frombuffer(data, np.uint8) == LINE_FEED))
    return int(library.recsys_count_byte(ctypes.c_char_p(data), _int(len(data)), ctypes.c_int32(LINE_FEED)))


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
            ctypes.c_char_p(data), _int(len(data)), ctypes.c_int32(separator), _int(columns), _at(slots), _int(lines),
            _at(self._starts), _at(self._sizes), _at(self.states),
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
            ctypes.c_char_p(self._data), _at(self._starts[slot]), _at(self._sizes[slot]), _int(self._lines),
            _at(numbers), _at(known),
        )  # fmt: skip
        return None if empty < 0 else (numbers, known if empty else None)


def gather_texts(
    library: ctypes.CDLL, data: bytes, starts: NDArray[np.uint32], sizes: NDArray[np.uint32]
) -> tuple[Bytes, NDArray[np.int64]]:
    """Texts one after the other, and where each begins and ends, shape (n + 1,)."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    found = np.empty(offsets[-1], np.uint8)
    library.recsys_gather_texts(ctypes.c_char_p(data), _at(starts), _at(sizes), _int(len(sizes)), _at(found))
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
            self._codes, ctypes.c_char_p(data), _at(starts), _at(sizes), _int(len(starts)), _at(found)
        )
        return found

    def texts(self, first: int = 0) -> tuple[Bytes, NDArray[np.int64]]:
        """Texts from a number on, in UTF-8 one after the other, and where each begins and ends, shape (n + 1,)."""
        data = np.empty(self._library.recsys_codes_bytes(self._codes, _int(first)), np.uint8)
        offsets = np.zeros(len(self) - first + 1, np.int64)
        self._library.recsys_codes_texts(self._codes, _int(first), _at(data), _at(offsets[1:]))
        return data, offsets


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
        _at(numbers), _int(len(numbers)), _at(table), _int(len(table)), ctypes.c_uint32(first), _at(codes), _at(met)
    )
    if added < 0:
        return -1 if added == -(1 << 63) else int(-1 - added)
    return codes, met[:added].copy()


class KeptRows(NamedTuple):
    """What `keep_rows` gives.

    Attributes:
        left: rows that stay, which stand at the beginning.
        weights: of these, float32; 1 where there are none.
        times: of these, in microseconds.
        days: of all rows, how many are of each day.
        future: of all rows, how many are later than now.
        users_lost: rows that were left out by user; empty where no row can be.
        items_lost: likewise.
    """

    left: int
    weights: NDArray[np.float32]
    times: NDArray[np.int64]
    days: NDArray[np.int64]
    future: int
    users_lost: NDArray[np.uint32]
    items_lost: NDArray[np.uint32]


def keep_rows(
    library: ctypes.CDLL,
    users: NDArray[np.uint32],
    items: NDArray[np.uint32],
    weights: NDArray[Any] | None,
    times: NDArray[np.int64] | None,
    *,
    weight_range: tuple[float, float],
    min_weight: float | None,
    scale: int,
    now: int,
    days: range,
    known: tuple[int, int],
) -> KeptRows | None:
    """Rows that weigh enough, with weights and times converted; None where a weight is out of its range.

    Args:
        users: those that stay stand at its beginning then.
        items: likewise.
        weights: int64 or float64.
        times: in units of `scale` microseconds, all of them of `days`.
        now: in microseconds.
        known: how many users and items there are.
    """
    n = len(users)
    kept_weights, kept_times = np.ones(n, np.float32), np.empty(n if times is not None else 0, np.int64)
    counted, future = np.zeros(len(days), np.int64), ctypes.c_int64(0)
    lost = [np.zeros(size if min_weight is not None else 0, np.uint32) for size in known]
    left = library.recsys_keep_rows(
        _at(users), _at(items), _at(weights) if weights is not None else None,
        ctypes.c_int32(weights is not None and weights.dtype == np.int64), _at(times) if times is not None else None,
        _int(n), *map(ctypes.c_float, weight_range), ctypes.c_float(min_weight or 0), _int(scale), _int(now),
        _int(days.start), *([None, None] if min_weight is None else map(_at, lost)), _at(kept_weights), _at(kept_times),
        _at(counted), ctypes.byref(future),
    )  # fmt: skip
    if left < 0:
        return None
    return KeptRows(left, kept_weights[:left], kept_times[:left], counted, future.value, lost[0], lost[1])


def place_numbers(library: ctypes.CDLL, numbers: NDArray[np.uint32], places: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Of each number its place."""
    found = np.empty(len(numbers), np.uint32)
    library.recsys_place(_at(numbers), _int(len(numbers)), _at(places), _at(found))
    return found


def group_users(
    library: ctypes.CDLL, users: NDArray[np.uint32], order: NDArray[np.int64] | None, n_users: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Places of rows by user and then `order`, ties as they come; and where each user's begin, shape (users + 1,)."""
    rows, bounds = np.empty(len(users), np.uint32), np.empty(n_users + 1, np.int64)
    library.recsys_group_users(
        _at(users), _at(order) if order is not None else None, _int(len(users)), _int(n_users), _at(rows), _at(bounds)
    )
    return rows, bounds


def mark_duplicates(
    library: ctypes.CDLL,
    items: NDArray[np.uint32],
    rows: NDArray[np.uint32],
    bounds: NDArray[np.int64],
    n_items: int,
    keep: int,
    weights: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows do not stand for their (user, item), of rows in the order of `group_users`; and which are of a pair
    that has several.

    Args:
        keep: `KEEP_LAST`, `KEEP_FIRST`, or `KEEP_MAX`: the last of those with the largest of the `weights`.
    """
    lost, repeated = np.zeros(len(items), bool), np.zeros(len(items), bool)
    library.recsys_mark_duplicates(
        _at(items), _at(weights) if weights is not None else None, _at(rows), _at(bounds), _int(len(bounds) - 1),
        _int(n_items), ctypes.c_int32(keep), _at(lost), _at(repeated),
    )  # fmt: skip
    return lost, repeated


KEEP_LAST, KEEP_FIRST, KEEP_MAX = range(3)
MOST_DISTINCT = (1 << 31) - 1
"""Rows that `distinct_rows` can tell apart."""


class DistinctRows(NamedTuple):
    """What `distinct_rows` gives: the rows that stay, by user and order, those that do not by user and item, and which
    of the given ones are of a pair that has several.
    """  # fmt: skip

    users: NDArray[np.uint32]
    items: NDArray[np.uint32]
    weights: NDArray[np.float32]
    order: NDArray[np.int64]
    users_lost: NDArray[np.uint32]
    items_lost: NDArray[np.uint32]
    repeated: NDArray[np.bool_]


def distinct_rows(
    library: ctypes.CDLL,
    users: NDArray[np.uint32],
    items: NDArray[np.uint32],
    weights: NDArray[np.float32],
    order: NDArray[np.int64],
    known: tuple[int, int],
    keep: int,
) -> DistinctRows:
    """`group_users` and `mark_duplicates` together, of at most `MOST_DISTINCT` rows.

    Args:
        known: how many users and items there are.
        keep: `KEEP_LAST` or `KEEP_FIRST`.
    """
    n = len(users)
    left = (np.empty(n, np.uint32), np.empty(n, np.uint32), np.empty(n, np.float32), np.empty(n, np.int64))
    lost = (np.zeros(known[0], np.uint32), np.zeros(known[1], np.uint32))
    repeated = np.zeros(n, bool)
    height = library.recsys_distinct_rows(
        _at(users), _at(items), _at(weights), _at(order), _int(n), *map(_int, known), ctypes.c_int32(keep),
        *map(_at, left), *map(_at, lost), _at(repeated),
    )  # fmt: skip
    return DistinctRows(left[0][:height], left[1][:height], left[2][:height], left[3][:height], *lost, repeated)


def core_round(
    library: ctypes.CDLL,
    users: NDArray[np.uint32],
    items: NDArray[np.uint32],
    item_taken: NDArray[np.bool_],
    user_taken: NDArray[np.bool_],
    item_counts: NDArray[np.int64],
    min_user: int,
) -> tuple[int, bool]:
    """One round of a k-core over the rows of a part; returns how many of them are left, and whether a user was taken.

    Args:
        users: shape (n,); what is left stands at its beginning then.
        items: likewise.
        item_taken: shape (n_items,); their rows are left out.
        user_taken: shape (n_users,); users with fewer than `min_user` rows are added.
        item_counts: shape (n_items,); the rows that are left are added.
    """
    took = ctypes.c_int32(0)
    left = library.recsys_core_round(
        _at(users), _at(items), _int(len(users)), _at(item_taken), _int(len(user_taken)), _int(min_user),
        _at(user_taken), _at(item_counts), ctypes.byref(took),
    )  # fmt: skip
    return left, bool(took.value)


def _at(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _int(number: int) -> ctypes.c_int64:
    return ctypes.c_int64(number)
