"""Population: the users of a world, block by block, each block drawn by itself.

A user's tastes are four of all, drawn by their prior with replacement, weighed by a symmetric Dirichlet law; four
others take their place as the days go by. Over users, the mean of either is the prior. On day d of D a view is of taste
k with probability

    theta_k(d) = e pi_k + (1 - e) ((1 - b d / (D - 1)) early_k + b d / (D - 1) late_k)

where e is the share of exploration and b that of tastes that are others by the last day (`taste_drift`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys_vae.simulation.calendar import DAY, HOUR
from recsys_vae.simulation.settings import WorldSettings
from recsys_vae.simulation.streams import Stream, stream

SLOTS: Final = 4
"""Tastes of a user at a time."""
STUCK: Final = 315_964_800
"""Where clocks stand that have lost the time: 1980-01-06, the beginning of GPS."""
STUCK_SHARE: Final = 0.2
"""Of the clocks that are wrong; others are ahead or behind by up to a day."""


@dataclass(frozen=True, eq=False)
class Activity:
    """What decides how many rows users of a block make; arrays of shape (n,).

    Attributes:
        activity: how many rows they make, in relation to others.
        joined: share of all traffic before they come.
        is_bot: whether it is a program.
    """

    activity: NDArray[np.float64]
    joined: NDArray[np.float64]
    is_bot: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Users(Activity):
    """Users of a block; arrays are of shape (n,) unless something else is said.

    Attributes:
        first: number of the first of them.
        tastes: numbers, early and late, shape (n, 2, SLOTS).
        shares: of these, adding up to 1, shape (n, 2, SLOTS).
        keenness: factor of how likely they go on to cart and purchase, 1 on average.
        clock: seconds that are added to their times; 0 where the clock is right.
    """

    first: int
    tastes: NDArray[np.int16]
    shares: NDArray[np.float64]
    keenness: NDArray[np.float64]
    clock: NDArray[np.int64]


def activity_of(settings: WorldSettings, first: int, last: int, block: int) -> tuple[Activity, np.random.Generator]:
    """How many rows users `first` to `last` make, and the stream for all else about them."""
    n = last - first
    draw = stream(settings.seed, Stream.USERS, block)
    later = draw.random((2, n))
    joined = np.where(later[0] < settings.new_users, later[1], 0.0)
    is_bot = draw.random(n) < settings.bots
    activity = np.exp(settings.activity * draw.standard_normal(n)) * (1 - joined)
    activity[is_bot] = (1 - joined[is_bot]) * settings.bot_activity * np.exp(settings.activity**2 / 2)
    return Activity(activity, joined, is_bot), draw


def users_of(settings: WorldSettings, prior: NDArray[np.float64], first: int, last: int, block: int) -> Users:
    """All about users `first` to `last`, which are a block."""
    told, draw = activity_of(settings, first, last, block)
    n = last - first
    tastes = np.searchsorted(np.cumsum(prior)[:-1], draw.random((n, 2, SLOTS)), side="right").astype(np.int16)
    # A gamma variable of a small shape may be 0 in float64, never all four once they are lifted.
    weights = draw.standard_gamma(settings.concentration, (n, 2, SLOTS)) + 1e-30
    keenness = draw.uniform(0.5, 1.5, n)
    wrong, kind = draw.random((2, n))
    off = draw.integers(HOUR, DAY, n) * draw.choice([-1, 1], n)
    clock = np.where(kind < STUCK_SHARE, STUCK - settings.first_second, off)
    return Users(
        told.activity,
        told.joined,
        told.is_bot,
        first,
        tastes,
        weights / weights.sum(axis=2, keepdims=True),
        keenness,
        np.where(wrong < settings.skewed, clock, 0),
    )


def taste_probability(
    users: Users,
    rows: NDArray[np.integer],
    days: NDArray[np.integer],
    prior: NDArray[np.float64],
    settings: WorldSettings,
) -> NDArray[np.float64]:
    """theta of some users of a block, each on its day, shape (len(rows), tastes)."""
    late = settings.taste_drift * days / max(1, settings.days - 1)
    shares = users.shares[rows] * np.stack([1 - late, late], axis=1)[:, :, None] * (1 - settings.exploration)
    found = np.tile(settings.exploration * prior, (len(rows), 1))
    np.add.at(
        found, (np.arange(len(rows))[:, None], users.tastes[rows].reshape(len(rows), -1)), shares.reshape(len(rows), -1)
    )
    return found
