"""Groups of users: how a metric differs between those of one column of their metadata, and how sure that is.

Source: Ekstrand, Tian, Azpiazu, Ekstrand, Anuyah, McNeill & Pera, All The Cool Kids, How Do They Fit In? (2018),
effectiveness by demographic group; intervals of differences: Welch (1947).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.bootstrap import Interval
from recsys_vae.evaluation.evaluate import mean, standard_error
from recsys_vae.evaluation.ranked_lists import Float64Array

UNKNOWN = "(unknown)"
Z = 1.959963984540054
"""Of the normal distribution, for 95 %."""
ENOUGH = 30
"""Users below which a group does not count for the widest gap."""


@dataclass(frozen=True)
class UserGroup:
    """One group.

    Attributes:
        name: the value that its users have.
        size: users for whom the metric means something.
        mean: of the metric.
        standard_error: of that mean; NaN below two users.
        gap: from the users of all other groups, with its interval.
    """

    name: str
    size: int
    mean: float
    standard_error: float
    gap: Interval


def by_group(values: Float64Array, names: Sequence[str | None]) -> list[UserGroup]:
    """A metric by group, the largest group first.

    Args:
        values: of the metric, NaN where it means nothing for a user, shape (n_users,).
        names: group of each, None where it is not known.

    Raises:
        ConfigError: the lengths differ.
    """
    if len(values) != len(names):
        raise ConfigError(f"{len(values)} users have values, {len(names)} a group: one each is expected.")
    named = np.array([UNKNOWN if name is None else name for name in names], dtype=object)
    counted = ~np.isnan(values)
    found = [_group(str(name), values[counted], named[counted] == name) for name in dict.fromkeys(named)]
    return sorted((group for group in found if group.size), key=lambda group: (-group.size, group.name))


def widest_gap(groups: Sequence[UserGroup]) -> tuple[UserGroup, UserGroup, Interval] | None:
    """The best and the worst group of at least 30 users whose value is known, and their difference; None below two.

    The two are chosen by their means, so the interval is a little too narrow where there are many groups.
    """
    known = [group for group in groups if group.size >= ENOUGH and group.name != UNKNOWN]
    if len(known) < 2:
        return None
    best, worst = max(known, key=lambda group: group.mean), min(known, key=lambda group: group.mean)
    return best, worst, _interval(best.mean - worst.mean, math.hypot(best.standard_error, worst.standard_error))


def _group(name: str, values: Float64Array, is_member: np.ndarray) -> UserGroup:
    mine, others = values[is_member], values[~is_member]
    error = standard_error(mine)
    gap = _interval(mean(mine) - mean(others), math.hypot(error, standard_error(others)))
    return UserGroup(name, len(mine), mean(mine), error, gap)


def _interval(difference: float, error: float) -> Interval:
    return Interval(difference, difference - Z * error, difference + Z * error, 0.95)
