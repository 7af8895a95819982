"""A shop with users, two models and clicks, simulated: what live tests are measured in.

- Users come when they like: visits a day are Poisson, with a mean of their own (exponential over users, a visit in
  three days on average).
- Users click as they like: a click rate of their own, gamma distributed over users with a standard deviation of 80 % of
  its mean.
- Users see the top first: at place p an item is clicked with probability rate * appeal / p, place by place (the
  position-based model, with the bias of 1 / p that Joachims, Swaminathan and Schnabel assume in "Unbiased
  Learning-to-Rank with Biased Feedback", WSDM 2017).
- Items appeal to a user by a log-normal taste, of which a visit shifts a part that no model knows; at a visit every
  second one of a user's candidates is there.
- Both models rank by the taste plus an error. The errors belong to user and item, so they come again at every visit,
  and have a part in common, as of models that learned from the same log. The challenger's error is as much smaller as
  it takes for 3 % more expected clicks when either ranks alone.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]

DAYS = 28
K = 10
CANDIDATES = 60
VISITS_A_DAY = 1 / 3
CLICKS_A_LIST = 0.25
RATE_SPREAD = 0.8
TASTE, MOMENT = 1.0, 0.5
"""Standard deviations of log appeal: over a user's items, and of one item over visits."""
ERROR, COMMON = 0.8, 0.5
"""Standard deviation of the base's error, and the share of its variance that the challenger has too."""


@dataclass(frozen=True)
class Visits:
    """All visits of a pool of users, one row each.

    Attributes:
        user: row of the user.
        day: from 0.
        rate: click rate of the user at a place of bias 1, for an item of appeal 1.
        appeal: of the candidates, shape (n_visits, CANDIDATES); 0 for one that is not there.
        taste: what models see of it, with minus infinity for one that is not there.
        common: the error that both models make.
        own: the error of each model, shape (2, n_visits, CANDIDATES).
        share: of an error's variance that is common.
    """

    user: Int64Array
    day: Int64Array
    rate: Float32Array
    appeal: Float32Array
    taste: Float32Array
    common: Float32Array
    own: Float32Array
    share: float = COMMON

    def lists(self, model: int, error: float) -> Int64Array:
        """What a model shows, candidates best first, shape (n_visits, K)."""
        both, alone = np.float32(error * self.share**0.5), np.float32(error * (1 - self.share) ** 0.5)
        noise = both * self.common + alone * self.own[model]
        return np.argsort(-(self.taste + noise), axis=1)[:, :K]

    def click_chances(self, lists: Int64Array) -> Float32Array:
        """At each place, shape (n_visits, K)."""
        bias = 1 / np.arange(1, lists.shape[1] + 1, dtype=np.float32)
        appeal = np.take_along_axis(self.appeal, lists, axis=1)
        return np.minimum(self.rate[:, None] * appeal * bias, np.float32(0.9))


def visits(n_users: int, rng: np.random.Generator, *, spread: float = RATE_SPREAD, share: float = COMMON) -> Visits:
    """The visits of a pool of users over DAYS days.

    Args:
        n_users: of the pool.
        rng: what is drawn from.
        spread: standard deviation of the users' click rates, as a part of their mean.
        share: of the variance of the models' errors that both have in common.
    """
    numbers = rng.poisson(rng.exponential(VISITS_A_DAY, n_users) * DAYS)
    user = np.repeat(np.arange(n_users), numbers)
    shape = spread**-2
    rate = (rng.gamma(shape, 1 / shape, n_users) * CLICKS_A_LIST / 4).astype(np.float32)
    taste, common, first, second = rng.standard_normal((4, n_users, CANDIDATES), dtype=np.float32)[:, user]
    moment = rng.standard_normal(taste.shape, dtype=np.float32)
    is_there = rng.random(taste.shape, dtype=np.float32) < 0.5
    return Visits(
        user,
        rng.integers(0, DAYS, len(user)),
        rate[user],
        np.where(is_there, np.exp(TASTE * taste + MOMENT * moment - 1), 0).astype(np.float32),
        np.where(is_there, TASTE * taste, -np.inf).astype(np.float32),
        common,
        np.stack([first, second]),
        share,
    )


def better_error(world: Visits, gain: float) -> float:
    """The error with which the challenger has so many more expected clicks than the base, as a share."""
    target = (1 + gain) * world.click_chances(world.lists(0, ERROR)).sum(dtype=float)
    low, high = 0.0, ERROR
    for _ in range(16):
        middle = (low + high) / 2
        found = world.click_chances(world.lists(1, middle)).sum(dtype=float)
        low, high = (middle, high) if found > target else (low, middle)
    return (low + high) / 2
