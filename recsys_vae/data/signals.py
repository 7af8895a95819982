"""Signals: how the events of a user become evidence of taste, by one rule in training and in serving.

Every event has a kind, a value and a time. An event speaks for an item or against it; of several about one item, the
sign is that of the latest, and the weight is what `keep` makes of those that have this sign, each less the older it is:

    weight = value * weight of its kind * 2^(-age / half_life),   age: days before the latest event of the same user

Ages count from the user's own latest event, not from a clock: the same events give the same weights whenever they are
looked at, and a model sees in serving what it saw in training.

Histories with dislikes are signed matrices: weights above 0 speak for an item, below 0 against it (`liked`, `disliked`
divide them). Only models that say so (`protocols.takes_dislikes`) are shown the latter; nobody is recommended them.
"""

import math
from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.data.signal_rules import ANY_KIND, KEEPS, REPEATS, Keep, Repeat, SignalRules
from recsys_vae.protocols import Float32Array, Int64Array, Scorer, takes_dislikes

__all__ = [
    "ANY_KIND",
    "KEEPS",
    "REPEATS",
    "UNTIMED",
    "Evidence",
    "Keep",
    "Repeat",
    "SignalRules",
    "disliked",
    "dislikes_fingerprint",
    "evidence",
    "hidden_from",
    "in_order",
    "liked",
    "shown_to",
    "signed",
]

UNTIMED: Final = np.iinfo(np.int64).min
"""Time of an event that has none: it is older than all others, and of no age."""
LEAST_DECAY = 1e-6
"""Factor that no age goes below."""
_DAY = 86_400_000_000.0


class Evidence(NamedTuple):
    """What is known of (user, item) pairs; ascending by user, then by item.

    Attributes:
        users: shape (n,).
        items: shape (n,).
        weights: above 0 for the item, below 0 against it, shape (n,).
        places: of the pair's latest event among all of the user's, from 1 for the least recent, shape (n,).
    """

    users: Int64Array
    items: Int64Array
    weights: Float32Array
    places: Int64Array


def evidence(
    users: Int64Array, items: Int64Array, weights: NDArray[np.floating[Any]], times: Int64Array, rules: SignalRules
) -> Evidence:
    """Events of any number of users to one entry a pair.

    Args:
        users: row of the user, shape (n,); those of one user stand together, least recent first.
        items: row of the item, shape (n,).
        weights: signed, as `SignalRules.weight` gives them, shape (n,).
        times: microseconds since 1970, `UNTIMED` where unknown, shape (n,).
        rules: what makes one weight of several.
    """
    if not len(users):
        nothing = np.zeros(0, dtype=np.int64)
        return Evidence(nothing, nothing, np.zeros(0, dtype=np.float32), nothing)
    decayed = weights.astype(np.float64) * _decay(users, times, rules.half_life)
    begins = np.flatnonzero(np.concatenate([[True], users[1:] != users[:-1]]))
    place = np.arange(1, len(users) + 1) - np.repeat(begins, np.diff(np.append(begins, len(users))))
    order = np.lexsort((place, items, users))
    users, items, decayed, place = users[order], items[order], decayed[order], place[order]
    starts = np.flatnonzero(np.concatenate([[True], (users[1:] != users[:-1]) | (items[1:] != items[:-1])]))
    ends = np.append(starts[1:], len(users)) - 1
    kept = _kept(decayed, starts, ends, rules.keep)
    return Evidence(users[starts], items[starts], kept.astype(np.float32), place[ends])


def _decay(users: Int64Array, times: Int64Array, half_life: float) -> NDArray[np.float64]:
    """Factor of each event by its age."""
    if half_life == math.inf:
        return np.ones(len(users))
    starts = np.flatnonzero(np.concatenate([[True], users[1:] != users[:-1]]))
    latest = np.repeat(np.maximum.reduceat(times, starts), np.diff(np.append(starts, len(users))))
    is_timed = times != UNTIMED
    days = np.where(is_timed, latest.astype(np.float64) - times.astype(np.float64), 0.0) / _DAY
    # Of unknown age: as old as the oldest of the user that is known.
    oldest = np.repeat(np.maximum.reduceat(days, starts), np.diff(np.append(starts, len(users))))
    return np.maximum(0.5 ** (np.where(is_timed, days, oldest) / half_life), LEAST_DECAY)


def _kept(weights: NDArray[np.float64], starts: Int64Array, ends: Int64Array, keep: Keep) -> NDArray[np.float64]:
    """What stands for each pair, of the events that have the sign of its latest."""
    last = weights[ends]
    if keep == "last":
        return last
    sign = np.sign(last)
    lengths = ends - starts + 1
    agrees = np.sign(weights) == np.repeat(sign, lengths)
    sizes = np.where(agrees, np.abs(weights), 0.0)
    if keep == "sum":
        return sign * np.add.reduceat(sizes, starts)
    if keep == "max":
        return sign * np.maximum.reduceat(sizes, starts)
    places = np.where(agrees, np.arange(len(weights)), len(weights))
    return weights[np.minimum.reduceat(places, starts)]


def signed(liked: csr_array, disliked: csr_array | None) -> csr_array:
    """Both kinds of evidence in one matrix of one shape; what is in both counts as liked.

    Args:
        liked: weights above 0.
        disliked: weights above 0, of what speaks against; None for nothing.
    """
    if disliked is None or not disliked.nnz:
        return liked
    both = csr_array(liked - disliked.multiply(_pattern(disliked, outside=liked)))
    both.eliminate_zeros()
    both.sort_indices()
    return both.astype(np.float32)


def liked(histories: csr_array) -> csr_array:
    """The entries that speak for an item; the matrix itself where none speaks against one."""
    return histories if not histories.nnz or histories.data.min() > 0 else _only(histories, histories.data > 0)


def disliked(histories: csr_array) -> csr_array:
    """The entries that speak against an item, with weights above 0."""
    if not histories.nnz or histories.data.min() > 0:
        return csr_array(histories.shape, dtype=np.float32)
    against = _only(histories, histories.data < 0)
    return csr_array((-against.data, against.indices, against.indptr), shape=histories.shape)


def dislikes_fingerprint(dislikes: csr_array) -> str:
    """SHA-256 over which pairs are disliked, in hexadecimal; rows and columns are numbers, weights are left out."""
    digest = sha256(np.ascontiguousarray(dislikes.indptr, dtype="<i8").data)
    digest.update(np.ascontiguousarray(dislikes.indices, dtype="<i4").data)
    return digest.hexdigest()


def shown_to(model: Scorer, histories: csr_array) -> csr_array:
    """Histories that may be signed, as a model may be shown them: of one that takes no dislikes, what is liked."""
    return histories if takes_dislikes(model) else liked(histories)


def hidden_from(histories: csr_array, repeat: Repeat = "exclude") -> csr_array:
    """Non-zeros are what no list of a user may hold, shape (n, n_items): what is disliked never comes."""
    if repeat == "exclude":
        return histories
    if repeat == "allow":
        return disliked(histories)
    others = np.ones(histories.shape, dtype=np.float32)
    likes = liked(histories)
    others[np.repeat(np.arange(len(others)), np.diff(likes.indptr)), likes.indices] = 0
    return csr_array(others)


def _only(matrix: csr_array, chosen: NDArray[np.bool_]) -> csr_array:
    before = np.concatenate([[0], np.cumsum(chosen)])
    return csr_array((matrix.data[chosen], matrix.indices[chosen], before[matrix.indptr]), shape=matrix.shape)


def _pattern(matrix: csr_array, *, outside: csr_array) -> csr_array:
    """Ones at the entries of a matrix that another one does not have."""
    ones = csr_array((np.ones(matrix.nnz, np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)
    shared = csr_array(ones.multiply(outside != 0))
    return csr_array(ones - shared)


def in_order(order: csr_array) -> Sequence[Int64Array]:
    """Items of each row, least recent first.

    Args:
        order: the pattern of the histories, its data the places, from 1 for the least recent; shape (n, n_items).
    """
    bounds = order.indptr
    return [
        order.indices[start:end][np.argsort(order.data[start:end], kind="stable")].astype(np.int64)
        for start, end in pairwise(bounds)
    ]
