"""Rows of numbers, compiled (tables_rows.cpp): kept, put in order by user, without duplicates, thinned to a k-core."""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys_vae.native.tables import at, i64


class KeptRows(NamedTuple):
    """What `keep_rows` gives.

    Attributes:
        left: rows that stay, which stand at the beginning.
        weights: of these, float32; 1 where there are none.
        times: of these, in microseconds.
        days: of all rows, how many are of each day.
        future: of all rows, how many are later than now.
    """

    left: int
    weights: NDArray[np.float32]
    times: NDArray[np.int64]
    days: NDArray[np.int64]
    future: int


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
    lost: tuple[NDArray[np.uint32], NDArray[np.uint32]] | None,
) -> KeptRows | None:
    """Rows that weigh enough, with weights and times converted; None where a weight is out of its range.

    Args:
        users: those that stay stand at its beginning then.
        items: likewise.
        weights: int64 or float64.
        times: in units of `scale` microseconds, all of them of `days`.
        now: in microseconds.
        lost: counts by user and by item, to which rows that are left out are added; None where `min_weight` is.
    """
    n = len(users)
    kept_weights = np.ones(n, np.float32) if weights is None else np.empty(n, np.float32)
    kept_times = np.empty(n if times is not None else 0, np.int64)
    counted, future = np.zeros(len(days), np.int64), ctypes.c_int64(0)
    left = library.recsys_keep_rows(
        at(users), at(items), at(weights) if weights is not None else None,
        ctypes.c_int32(weights is not None and weights.dtype == np.int64), at(times) if times is not None else None,
        i64(n), *map(ctypes.c_float, weight_range), ctypes.c_float(min_weight or 0), i64(scale), i64(now),
        i64(days.start), *([None, None] if lost is None else map(at, lost)), at(kept_weights), at(kept_times),
        at(counted), ctypes.byref(future),
    )  # fmt: skip
    if left < 0:
        return None
    return KeptRows(left, kept_weights[:left], kept_times[:left], counted, future.value)


def place_numbers(library: ctypes.CDLL, numbers: NDArray[np.uint32], places: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Of each number its place."""
    found = np.empty(len(numbers), np.uint32)
    library.recsys_place(at(numbers), i64(len(numbers)), at(places), at(found))
    return found


def count_places(
    library: ctypes.CDLL, numbers: NDArray[np.uint32], places: NDArray[np.uint32], counts: NDArray[np.int64]
) -> None:
    """Add 1 to the count of the place of each number."""
    library.recsys_count_places(at(numbers), i64(len(numbers)), at(places), at(counts))


def group_users(
    library: ctypes.CDLL, users: NDArray[np.uint32], order: NDArray[np.int64] | None, n_users: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Places of rows by user and then `order`, ties as they come; and where each user's begin, shape (users + 1,)."""
    rows, bounds = np.empty(len(users), np.uint32), np.empty(n_users + 1, np.int64)
    library.recsys_group_users(
        at(users),
        at(order) if order is not None else None,
        i64(len(users)),
        i64(n_users),
        at(rows),
        at(bounds),
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
        at(items), at(weights) if weights is not None else None, at(rows), at(bounds), i64(len(bounds) - 1),
        i64(n_items), ctypes.c_int32(keep), at(lost), at(repeated),
    )  # fmt: skip
    return lost, repeated


KEEP_LAST, KEEP_FIRST, KEEP_MAX = range(3)
MOST_DISTINCT = (1 << 31) - 1
"""Rows that `distinct_rows` can tell apart."""
ROWS_FOR_TWO = 200_000
"""Rows from which on two threads are worth their start."""


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
    threads: int = 2,
) -> DistinctRows:
    """`group_users` and `mark_duplicates` together, of at most `MOST_DISTINCT` rows.

    Args:
        known: how many users and items there are.
        keep: `KEEP_LAST` or `KEEP_FIRST`.
        threads: of two, one takes half the users.
    """
    n, (n_users, n_items) = len(users), known
    half = n_users // 2 if threads > 1 and n >= ROWS_FOR_TWO else 0
    rows_of_first = int(np.count_nonzero(users < half)) if half else 0
    left: list[NDArray[Any]] = [np.empty(n, kind) for kind in (np.uint32, np.uint32, np.float32, np.int64)]
    users_lost, items_lost = np.zeros(n_users, np.uint32), np.zeros((2, n_items), np.uint32)
    repeated = np.zeros(n, bool)

    def of_users(part: int, first: int, end: int, start: int) -> int:
        found = library.recsys_distinct_rows(
            at(users), at(items), at(weights), at(order), i64(n), i64(first), i64(end), i64(n_items),
            ctypes.c_int32(keep), *(at(column[start:]) for column in left), at(users_lost[first:]),
            at(items_lost[part]), at(repeated),
        )  # fmt: skip
        return int(found)

    with ThreadPoolExecutor(1, "recsys-rows") as pool:
        of_first = pool.submit(of_users, 0, 0, half, 0) if half else None
        height = of_users(1, half, n_users, rows_of_first)
        before = 0 if of_first is None else of_first.result()
    for column in left:
        if before < rows_of_first:  # what the first half has lost leaves a gap
            column[before : before + height] = column[rows_of_first : rows_of_first + height]
    users, items, weights, order = (column[: before + height] for column in left)
    return DistinctRows(users, items, weights, order, users_lost, items_lost.sum(axis=0, dtype=np.uint32), repeated)


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
        at(users), at(items), i64(len(users)), at(item_taken), i64(len(user_taken)), i64(min_user),
        at(user_taken), at(item_counts), ctypes.byref(took),
    )  # fmt: skip
    return left, bool(took.value)


def core_left(
    library: ctypes.CDLL,
    users: NDArray[np.uint32],
    items: NDArray[np.uint32],
    user_taken: NDArray[np.bool_],
    item_taken: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.uint32], NDArray[np.uint32]]:
    """Which rows a k-core leaves, and of the others how many there are a user and an item: those whose user was taken,
    and those whose item alone was, each of shape (2, users) and (2, items).
    """  # fmt: skip
    left = np.empty(len(users), bool)
    of_users, of_items = (np.zeros((2, len(taken)), np.uint32) for taken in (user_taken, item_taken))
    counts = [np.array([of_users[rule].ctypes.data, of_items[rule].ctypes.data], np.uintp) for rule in range(2)]
    library.recsys_core_left(
        at(users), at(items), i64(len(users)), at(user_taken), at(item_taken), at(left), at(counts[0]), at(counts[1])
    )
    return left, of_users, of_items
