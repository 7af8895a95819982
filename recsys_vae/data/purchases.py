"""Purchases: how often, how long ago and over what time users came back to items; what a repeat-purchase model goes by.

A visit is all that a user does on one day (UTC): what is touched several times on a day is one purchase.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.data.signals import UNTIMED
from recsys_vae.errors import DataError
from recsys_vae.protocols import Int64Array

DAY = 86_400_000_000
"""Microseconds."""
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Visits:
    """Purchases one by one, ascending by user, then day, then item; each once.

    Attributes:
        users, items: rows, shape (n,).
        days: since 1970, shape (n,).
        shape: number of users and of items.
    """

    users: Int64Array
    items: Int64Array
    days: Int64Array
    shape: tuple[int, int]

    @classmethod
    def of_events(cls, users: Int64Array, items: Int64Array, times: Int64Array, shape: tuple[int, int]) -> "Visits":
        """Purchases of events in any order.

        Args:
            times: microseconds since 1970, shape (n,).

        Raises:
            DataError: a row is out of range.
        """
        for name, rows, bound in (("user", users, shape[0]), ("item", items, shape[1])):
            if len(rows) and not 0 <= rows.min() <= rows.max() < bound:
                raise DataError(f"Rows of {name}s go from {rows.min()} to {rows.max()}, expected 0 to {bound - 1}.")
        found = np.unique(np.stack([users, times // DAY, items], axis=1), axis=0)
        return cls(found[:, 0].copy(), found[:, 2].copy(), found[:, 1].copy(), shape)

    def last_days(self) -> Int64Array:
        """Day of each user's last visit, shape (n_users,); the least number there is where there is none."""
        last = np.full(self.shape[0], np.iinfo(np.int64).min)
        last[self.users] = self.days
        return last

    def kept(self, chosen: NDArray[np.bool_]) -> "Visits":
        """Some of the purchases, over the same users and items."""
        return Visits(self.users[chosen], self.items[chosen], self.days[chosen], self.shape)

    def without_last(self) -> tuple["Visits", "Visits"]:
        """What was before each user's last visit, and that visit."""
        is_last = self.days == self.last_days()[self.users]
        return self.kept(~is_last), self.kept(is_last)

    def matrix(self) -> csr_array:
        """Numbers of purchases, float32, shape (n_users, n_items)."""
        return self.purchases().counts

    def purchases(self, at: Int64Array | None = None) -> "Purchases":
        """What each user has bought, seen from a day.

        Args:
            at: the day each user is looked at, shape (n_users,); that of the last visit when None.

        Raises:
            DataError: a purchase is later than that.
        """
        seen_at = (self.last_days() if at is None else at)[self.users]
        if (self.days > seen_at).any():
            raise DataError("There are purchases after the day that users are looked at: leave them out.")
        order = np.lexsort((self.days, self.items, self.users))
        users, items, days, seen_at = (array[order] for array in (self.users, self.items, self.days, seen_at))
        starts = np.flatnonzero(
            np.concatenate([[True], (users[1:] != users[:-1]) | (items[1:] != items[:-1])])[: len(users)]
        )
        ends = np.append(starts[1:], len(users))[: len(starts)] - 1
        indptr = np.searchsorted(users[starts], np.arange(self.shape[0] + 1))

        def matrix(data: Int64Array) -> csr_array:
            return csr_array((data.astype(np.float32), items[starts], indptr), shape=self.shape)

        return Purchases(
            matrix(ends - starts + 1), matrix(seen_at[ends] - days[ends]), matrix(days[ends] - days[starts])
        )


@dataclass(frozen=True, eq=False)
class Purchases:
    """What users have bought, of one pattern, shape (n_users, n_items) each; explicit zeros count as entries.

    Attributes:
        counts: days on which an item was bought.
        ages: days since the last of them.
        spans: days from the first to the last of them.
    """

    counts: csr_array
    ages: csr_array
    spans: csr_array

    def __post_init__(self) -> None:
        for name in ("ages", "spans"):
            other = getattr(self, name)
            if other.shape != self.counts.shape or not np.array_equal(other.indices, self.counts.indices):
                raise DataError(f"{name} have another pattern than the counts: give one number for each item bought.")

    def __getitem__(self, chosen: Int64Array) -> "Purchases":
        return Purchases(self.counts[chosen], self.ages[chosen], self.spans[chosen])

    @property
    def users(self) -> Int64Array:
        """Row of each entry."""
        return np.repeat(np.arange(self.counts.shape[0]), np.diff(self.counts.indptr))


def purchases_of(
    users: Int64Array, items: Int64Array, times: Int64Array, shape: tuple[int, int], at: Int64Array
) -> Purchases:
    """What users have bought by events in any order, seen from a day; the one rule of service, batch and evaluation.

    An event without a time is as old as the oldest of its user that has one; where none has, nothing is known of its
    user. One that is later than the day counts as of it.

    Args:
        users, items: rows, shape (n,).
        times: microseconds since 1970, `UNTIMED` where unknown, shape (n,).
        shape: number of users and of items.
        at: the day each user is looked at, since 1970, shape (n_users,).
    """
    is_timed, oldest = times != UNTIMED, np.full(shape[0], NEVER)
    np.minimum.at(oldest, users[is_timed], times[is_timed])
    times = np.where(is_timed, times, oldest[users])
    known = times != NEVER
    users, items, times = users[known], items[known], times[known]
    return Visits.of_events(users, items, np.minimum(times, at[users] * DAY), shape).purchases(at)
