"""Lists of users of whom nothing is known but a history, in one compiled call (lists.cpp).

What `Lookup`, `Encoder` and `quantised.search` find one after the other, bit for bit; between the steps, batches of a
few users spend as much time as in them.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_vae.native import quantised
from recsys_vae.native.encoder import Encoder
from recsys_vae.native.library import loaded, threads
from recsys_vae.native.lookup import Lookup
from recsys_vae.native.quantised import Quantised
from recsys_vae.native.top_k import address
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array

LARGEST_ITEM, LARGEST_ROW = 96, 5
"""Bytes of an item's text beside its id, and of a row's difference to the one before, at most."""
USUAL_LISTS, USUAL_IDS, USUAL_LENGTH = 64, 4096, 20
"""That a room has space for at least."""


class _Lists(ctypes.Structure):
    """What lists are made from, as lists.cpp has it."""

    _fields_ = (
        ("table", ctypes.c_void_p),
        ("layers", ctypes.c_void_p),
        ("n_layers", ctypes.c_int64),
        ("vectors", ctypes.c_void_p),
        ("codes", ctypes.c_void_p),
        ("facts", ctypes.c_void_p),
        ("tiles", ctypes.c_void_p),
        ("n_items", ctypes.c_int64),
        ("d", ctypes.c_int64),
        ("ids", ctypes.c_void_p),
        ("id_starts", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("n_slots", ctypes.c_int64),
    )


class _Pointers(ctypes.Structure):
    """Where lists are asked for and found, as lists.cpp has it."""

    _fields_ = (
        ("ends", ctypes.c_void_p),
        ("sizes", ctypes.c_void_p),
        ("lengths", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("known", ctypes.c_void_p),
        ("found", ctypes.c_void_p),
        ("scores", ctypes.c_void_p),
        ("items", ctypes.c_void_p),
        ("item_ends", ctypes.c_void_p),
        ("packed", ctypes.c_void_p),
        ("row_ends", ctypes.c_void_p),
    )


class Asked(NamedTuple):
    """A history, and how long a list is wanted.

    Attributes:
        ids: in UTF-8, a NUL between two.
        size: how many they are.
        length: of the list, between 1 and LARGEST_K.
    """

    ids: bytes
    size: int
    length: int


class List(NamedTuple):
    """What is found.

    Attributes:
        asked: rows of the history, as it came; -1 for what is not known, which is passed over.
        n_known: how many are known.
        rows: best first.
        scores: of the rows, shape (len(rows),).
        items: the list as JSON has it, without the brackets; empty where a score cannot be written so.
        packed: its rows ascending, as a cursor has them.
    """

    asked: Int64Array
    n_known: int
    rows: list[int]
    scores: Float32Array
    items: bytes
    packed: bytes


class _Room:
    """Where a batch is asked and found: kept, as making it takes longer than some batches."""

    def __init__(self, n: int, n_ids: int, k: int, longest: int) -> None:
        self._fits, made = (n, n_ids, n * k), np.empty
        self.inputs: Int64Array = made((3, n), dtype=np.int64)
        self.known, self.item_ends, self.row_ends = (made(n, dtype=np.int64) for _ in range(3))
        self.asked: Int64Array = made(n_ids, dtype=np.int64)
        self.found: Int64Array = made(n * k, dtype=np.int64)
        self.scores: Float32Array = made(n * k, dtype=np.float32)
        self.items: NDArray[np.uint8] = made(n * k * (LARGEST_ITEM + longest), dtype=np.uint8)
        self.packed: NDArray[np.uint8] = made(n * k * LARGEST_ROW, dtype=np.uint8)
        arrays: tuple[NDArray[Any], ...] = (
            *self.inputs, self.asked, self.known, self.found, self.scores, self.items, self.item_ends, self.packed,
            self.row_ends,
        )  # fmt: skip
        self.pointers = _Pointers(*map(address, arrays))

    def fits(self, n: int, n_ids: int, k: int) -> bool:
        """Whether there is space for so many lists of so many ids, and their items."""
        return all(needed <= there for needed, there in zip((n, n_ids, n * k), self._fits, strict=True))


class Lists:
    """One encoder over the items of its index.

    Args:
        encoder: of histories, whose width is that of the vectors but one: a query's last number is 1.
        items: that are searched.
        ids: of the items, which JSON has as they are.
    """

    def __init__(self, encoder: Encoder, items: Quantised, ids: Lookup) -> None:
        self._kept_alive, self._items, self._longest = (encoder, ids), items, ids.longest
        self._rooms: list[_Room] = []
        arrays = map(address, (items.vectors, items.codes, items.facts, items.tiles))
        self._told = _Lists(*encoder.arguments(), *arrays, *items.vectors.shape, *ids.arguments())

    def suits(self, n: int, k: int) -> bool:
        """Whether lists of k items of n users are to be found here."""
        return quantised.suits(n, k, self._items)

    def __call__(self, asked: Sequence[Asked], allowed: BoolArray | None = None) -> list[List] | None:
        """The best items of each history besides those in it; None where an id holds a NUL.

        Args:
            asked: at least one.
            allowed: shape (n_items,), the items that may come back; all when None.
        """
        texts, sizes, lengths = zip(*asked, strict=True)
        n, k, wanted = len(asked), max(lengths), None if allowed is None else np.flatnonzero(allowed).astype(np.int64)
        with self._room(n, sum(sizes), k) as room:
            room.inputs[:, :n] = [*accumulate(map(len, texts))], sizes, lengths
            is_done = loaded().recsys_lists(
                ctypes.byref(self._told),
                ctypes.byref(room.pointers),
                b"".join(texts),
                ctypes.c_int64(n),
                ctypes.c_int64(k),
                ctypes.c_int64(quantised.most_candidates(k)),
                address(wanted),
                ctypes.c_int64(0 if wanted is None else len(wanted)),
                ctypes.c_int(threads()),
            )
            return _read(room, sizes, lengths, k) if is_done else None

    @contextmanager
    def _room(self, n: int, n_ids: int, k: int) -> Iterator[_Room]:
        """That nobody else is in."""
        try:
            room = self._rooms.pop()
        except IndexError:
            room = _Room(USUAL_LISTS, USUAL_IDS, USUAL_LENGTH, self._longest)
        if not room.fits(n, n_ids, k):
            room = _Room(max(n, USUAL_LISTS), max(n_ids, USUAL_IDS), k, self._longest)
        yield room
        self._rooms.append(room)


def _read(room: _Room, sizes: Sequence[int], lengths: Sequence[int], k: int) -> list[List]:
    n = len(sizes)
    item_ends, row_ends = room.item_ends[:n].tolist(), room.row_ends[:n].tolist()
    items, packed = room.items[: item_ends[-1]].tobytes(), room.packed[: row_ends[-1]].tobytes()
    asked, known, found, scores = (
        room.asked[: sum(sizes)].copy(),
        room.known[:n].tolist(),
        room.found,
        room.scores.copy(),
    )
    lists, at, item_at, row_at = [], 0, 0, 0
    for place, (size, length) in enumerate(zip(sizes, lengths, strict=True)):
        rows = found[place * k : place * k + length].tolist()
        if rows[-1] < 0:
            rows = rows[: rows.index(-1)]
        item_end, row_end = item_ends[place], row_ends[place]
        lists.append(
            List(
                asked[at : at + size],
                known[place],
                rows,
                scores[place * k : place * k + len(rows)],
                items[item_at:item_end],
                packed[row_at:row_end],
            )
        )
        at, item_at, row_at = at + size, item_end, row_end
    return lists
