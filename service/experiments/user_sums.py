"""Sums over users: all that rates, their differences and the variances of both are made of.

Users are the units, see ab_test.py. With X_u in the denominator of user u and Y_u in the numerator, R = sum Y / sum X
has by the delta method Var(R) = n / (n - 1) * (sum Y^2 - 2 R sum X Y + R^2 sum X^2) / (sum X)^2.
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class UserSums:
    """Sums over the users of a variant, one entry a look, or of any other shape that all six share.

    Attributes:
        users: how many have something in the denominator.
        x: denominators: lists shown, or clicks that are credited to either side.
        y: numerators.
        xx: squares of the denominators.
        xy: products.
        yy: squares of the numerators.
    """

    users: Float64Array
    x: Float64Array
    y: Float64Array
    xx: Float64Array
    xy: Float64Array
    yy: Float64Array

    @classmethod
    def over(cls, x: Float64Array, y: Float64Array) -> "UserSums":
        """Over the first axis; users with nothing in the denominator do not count."""
        present = x > 0
        y = np.where(present, y, 0.0)
        return cls(present.sum(0).astype(float), x.sum(0), y.sum(0), (x * x).sum(0), (x * y).sum(0), (y * y).sum(0))

    def __add__(self, other: "UserSums") -> "UserSums":
        """Over the users of both, who are different ones."""
        return UserSums(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def rate(self) -> Float64Array:
        """Numerators over denominators; not a number without any."""
        return _ratio(self.y, self.x)

    @property
    def variance(self) -> Float64Array:
        """Of the rate; infinite for fewer than two users."""
        rate = self.rate
        squares = self.yy - 2 * rate * self.xy + rate**2 * self.xx
        spread = _ratio(self.users, self.users - 1)
        return np.where(self.users < 2, np.inf, spread * _ratio(np.maximum(squares, 0.0), self.x**2))


def relative_difference(base: UserSums, challenger: UserSums) -> tuple[Float64Array, Float64Array]:
    """(R_b - R_a) / R, with R over the users of both, and its variance; no user is in both.

    R counts as known: it varies less than the difference, and where that is 0 it does not matter. So one side may be
    without any clicks.
    """
    together = (base + challenger).rate
    return _ratio(challenger.rate - base.rate, together), _ratio(base.variance + challenger.variance, together**2)


def _ratio(above: Float64Array, below: Float64Array) -> Float64Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below > 0, above / below, np.nan)
