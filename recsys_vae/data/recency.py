"""Recency: when users are looked at, and when they were last there; what a second stage may go by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import DataError
from recsys_vae.protocols import Float32Array, Int64Array

Days = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recency:
    """Days since 1970, UTC, of some users, shape (n,) each; NaN where one is not known.

    Attributes:
        now: from which they are looked at.
        last: of their last event that speaks for an item, none later than `now`.

    Raises:
        DataError: they are of different users.
    """

    now: Days
    last: Days

    def __post_init__(self) -> None:
        if self.now.shape != self.last.shape or self.now.ndim != 1:
            raise DataError(f"Recency is of {self.now.shape} and {self.last.shape} users: give one day of each.")

    def __len__(self) -> int:
        return len(self.now)

    def __getitem__(self, chosen: Int64Array) -> "Recency":
        return Recency(self.now[chosen], self.last[chosen])

    @classmethod
    def of(cls, now: Days, last: Days) -> "Recency":
        """With what is later than `now` as of it."""
        return cls(now, np.where(last > now, now, last))

    @classmethod
    def unknown(cls, n: int) -> "Recency":
        """Of users of whom nothing is known."""
        return cls(np.full(n, np.nan), np.full(n, np.nan))


def logs_of_days(now: Days, then: NDArray[np.floating]) -> Float32Array:
    """log(1 + days) from one day to another, 0 from a later one; NaN where either is not known."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.log1p(np.maximum(now - then, 0)), dtype=np.float32)
