"""Counterfactual estimates: what another policy's lists would have earned, from impressions with propensities.

An impression is an item i that was shown to a user u with a known probability p = P(i in the list of u), its
propensity, and a reward r, such as a click. The evaluated policy gives u a list L(u). Of the items shown, those that
also stand in L(u) count 1/p, as often as they would have been seen:

    w = [i in L(u)] / p
    IPS   = sum w r / n                                         n: places of the evaluated lists
    SNIPS = sum w r / sum w
    DR    = (sum over i in L(u) of m(i) + sum w (r - m(i))) / n

per place of a list, so that 0.1 is a click in ten items shown. IPS is unbiased where every item of L(u) had a
propensity above 0, and where what somebody does with an item does not depend on what stands beside it or where (the
item-wise click model of Li et al. 2018). SNIPS varies less and is biased by O(1/n); DR varies less the better the
model m of the reward is, and is unbiased whether or not m is right. m is the mean reward of an item, shrunk to that of
all, learned from the other half of the users, so that nobody is predicted from what they did.

Users are the units: the standard error of each ratio is that of the delta method over users.

Sources: Horvitz & Thompson (1952); Swaminathan & Joachims, The Self-Normalized Estimator for Counterfactual Learning
(2015); Dudík, Langford & Li, Doubly Robust Policy Evaluation and Learning (2011); Li, Abbasi-Yadkori, Kveton,
Muthukrishnan, Vinay & Wen, Offline Evaluation of Ranking Policies with Click Models (2018); Chernozhukov et al.,
Double/debiased machine learning (2018), cross-fitting; Kish, Survey Sampling (1965), effective sample size; Ionides,
Truncated Importance Sampling (2008).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import DataError, EmptyDataError
from recsys_vae.evaluation.overall_metrics import ratio_of_means
from recsys_vae.evaluation.ranked_lists import Float64Array
from recsys_vae.protocols import Int64Array

PRIOR_IMPRESSIONS = 20.0
"""Impressions that the mean reward of all counts for beside an item's own."""
FEW = 100
"""Effective impressions below which an estimate says little."""
ESTIMATORS = ("ips", "snips", "dr")


@dataclass(frozen=True, eq=False)
class Impressions:
    """What was shown, one entry an item of a list.

    Attributes:
        users: number of each one's user, 0 .. n_users - 1, shape (n,).
        lists: number of the list that it stood in, of one user each, 0 .. n_lists - 1, shape (n,).
        items: item rows, -1 where the catalogue does not have the item, shape (n,).
        propensities: probability that the item was shown to this user then, in (0, 1], shape (n,).
        rewards: finite, shape (n,).

    Raises:
        DataError: the arrays differ in length, a propensity or a reward is out of its range, or a list has two users.
        EmptyDataError: there are none.
    """

    users: Int64Array
    lists: Int64Array
    items: Int64Array
    propensities: Float64Array
    rewards: Float64Array

    def __post_init__(self) -> None:
        lengths = {len(each) for each in (self.users, self.lists, self.items, self.propensities, self.rewards)}
        if len(lengths) > 1:
            raise DataError(f"Impressions have a user, a list, an item, a propensity and a reward each; got {lengths}.")
        if not len(self.users):
            raise EmptyDataError("There are no impressions to estimate from.")
        if not ((self.propensities > 0) & (self.propensities <= 1)).all():
            raise DataError("A propensity is the probability that the item was shown: above 0, at most 1.")
        if not np.isfinite(self.rewards).all():
            raise DataError("A reward is a finite number, such as 1 for a click and 0 for none.")
        if len(np.unique(np.stack([self.lists, self.users]), axis=1).T) > len(np.unique(self.lists)):
            raise DataError("Impressions of one list name several users. Give every list an id of its own.")


@dataclass(frozen=True)
class Estimate:
    """An estimated reward per place of a list.

    Attributes:
        estimator: `ips`, `snips` or `dr`.
        value: the estimate; NaN where nothing that was shown stands in the evaluated lists (SNIPS).
        standard_error: over users.
    """

    estimator: str
    value: float
    standard_error: float


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """What a policy would have earned.

    Attributes:
        estimates: by each estimator.
        logged: mean reward of an impression, as it was: what the policy that showed them earned.
        logged_error: its standard error.
        matched: impressions whose item stands in the evaluated list.
        effective: effective number of these, (sum w)^2 / sum w^2.
        weight: sum w / n, 1 in expectation: elsewhere propensities or lists are not what they are said to be.
        clipped: impressions whose weight was cut.
        per_user: of each estimator, sums of numerator and denominator a user, shape (n_users, 2).
    """

    estimates: tuple[Estimate, ...]
    logged: float
    logged_error: float
    matched: int
    effective: float
    weight: float
    clipped: int
    per_user: dict[str, Float64Array]

    @property
    def is_thin(self) -> bool:
        """Whether there is too little in common with what was shown to say much."""
        return self.effective < FEW


def estimate(impressions: Impressions, recommended: Int64Array, *, largest_weight: float = np.inf) -> Counterfactual:
    """What lists would have earned where others were shown.

    Args:
        impressions: what was shown, with rewards.
        recommended: list of each user by the evaluated policy, item rows, -1 where it has ended, shape (n_users, k).
        largest_weight: larger ones are cut to it: less variance, for a bias towards 0 (DR: towards the model).

    Raises:
        DataError: an impression is of a user without a list, or the largest weight is not above 0.
    """
    if not largest_weight > 0:
        raise DataError(f"The largest weight is above 0; got {largest_weight}.")
    n_users = len(recommended)
    if impressions.users.min() < 0 or impressions.users.max() >= n_users:
        raise DataError(f"Impressions name a user that has none of the {n_users} lists.")
    users, rewards = impressions.users, impressions.rewards
    is_match = _stands_in(impressions, recommended)
    full = is_match / impressions.propensities
    weights = np.minimum(full, largest_weight)
    places = _places(impressions, recommended)
    predicted, of_lists = _modelled(impressions, recommended)
    corrected = _sums(users, weights * (rewards - predicted), n_users) + of_lists
    gained, weighed = _sums(users, weights * rewards, n_users), _sums(users, weights, n_users)
    pairs = {"ips": (gained, places), "snips": (gained, weighed), "dr": (corrected, places)}
    shown = _sums(users, np.ones(len(users)), n_users)
    logged = ratio_of_means(*_asked(_sums(users, rewards, n_users), shown, shown))
    total = weights.sum()
    return Counterfactual(
        estimates=tuple(Estimate(name, *ratio_of_means(*_asked(*pair, shown))) for name, pair in pairs.items()),
        logged=logged[0],
        logged_error=logged[1],
        matched=int(is_match.sum()),
        effective=float(total**2 / (weights**2).sum()) if total else 0.0,
        weight=float(total / places.sum()) if places.sum() else float("nan"),
        clipped=int((full > largest_weight).sum()),
        per_user={name: np.stack(pair, axis=1) for name, pair in pairs.items()},
    )


def difference(ours: Counterfactual, theirs: Counterfactual, estimator: str) -> tuple[float, float]:
    """Ours minus theirs from the same impressions, and its standard error, paired over users by the delta method."""
    parts = [_influences(one.per_user[estimator]) for one in (ours, theirs)]
    gap = parts[0][0] - parts[1][0]
    influences = (parts[0][1] - parts[1][1])[(ours.per_user["ips"][:, 1] > 0) | (theirs.per_user["ips"][:, 1] > 0)]
    n = len(influences)
    if n < 2:
        return gap, float("nan")
    return gap, float(np.sqrt(n / (n - 1) * (influences**2).sum()))


def _influences(sums: Float64Array) -> tuple[float, Float64Array]:
    """The ratio, and what each user moves it by."""
    above, below = sums.T
    ratio = above.sum() / below.sum() if below.sum() else float("nan")
    return float(ratio), (above - ratio * below) / below.sum() if below.sum() else np.full(len(above), np.nan)


def _asked(above: Float64Array, below: Float64Array, shown: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Of those only to whom anything was shown."""
    return above[shown > 0], below[shown > 0]


def _stands_in(impressions: Impressions, recommended: Int64Array) -> NDArray[np.bool_]:
    """Whether each item shown stands in the evaluated list of its user, shape (n,)."""
    found = np.zeros(len(impressions.items), dtype=np.bool_)
    for column in recommended.T:
        found |= column[impressions.users] == impressions.items
    return found & (impressions.items >= 0)


def _places(impressions: Impressions, recommended: Int64Array) -> Float64Array:
    """Places of the evaluated lists, once for each list that was shown to the user; shape (n_users,)."""
    _, first = np.unique(impressions.lists, return_index=True)
    n_lists = np.bincount(impressions.users[first], minlength=len(recommended))
    places: Float64Array = n_lists * np.count_nonzero(recommended >= 0, axis=1).astype(np.float64)
    return places


def _modelled(impressions: Impressions, recommended: Int64Array) -> tuple[Float64Array, Float64Array]:
    """m of each impression, shape (n,), and its sum over the evaluated lists of each user, shape (n_users,)."""
    n_items = 1 + int(max(impressions.items.max(), recommended.max(initial=0), 0))
    predicted, of_lists = np.zeros(len(impressions.items)), np.zeros(len(recommended))
    _, first = np.unique(impressions.lists, return_index=True)
    n_lists = np.bincount(impressions.users[first], minlength=len(recommended))
    for half in (0, 1):
        theirs = impressions.users % 2 == half
        means = _mean_rewards(impressions, ~theirs, n_items)
        predicted[theirs] = means[impressions.items[theirs]]
        chosen = recommended[half::2]
        of_lists[half::2] = np.sum(means[chosen], axis=1, where=chosen >= 0)
    return predicted, of_lists * n_lists


def _mean_rewards(impressions: Impressions, chosen: NDArray[np.bool_], n_items: int) -> Float64Array:
    """Mean reward of each item in the chosen impressions, shrunk to that of all; the last entry is of unknown items."""
    items, rewards = impressions.items[chosen], impressions.rewards[chosen]
    overall = float(rewards.mean()) if len(rewards) else 0.0
    known = items >= 0
    counts = np.bincount(items[known], minlength=n_items)
    sums = np.bincount(items[known], weights=rewards[known], minlength=n_items)
    means: Float64Array = (sums + PRIOR_IMPRESSIONS * overall) / (counts + PRIOR_IMPRESSIONS)
    return np.append(means, overall)


def _sums(users: Int64Array, values: Float64Array, n_users: int) -> Float64Array:
    found: Float64Array = np.bincount(users, weights=values, minlength=n_users).astype(np.float64)
    return found
