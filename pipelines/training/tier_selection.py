"""Thresholds: what answers at which length of history, measured on validation users, chosen for all lengths at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pipelines.evaluation.as_served import OnTier
from recsys_vae.bundles.tier_policy import CONTENT, ENCODED, HISTORY, POPULAR, POSTERIOR, PRIOR, SEGMENT, TierThreshold
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.cold_start import LENGTHS, ColdStartUsers
from recsys_vae.evaluation.evaluate import evaluate, standard_error
from recsys_vae.evaluation.metrics import Float64Array
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.recommender import FallbackChain

Answerer = tuple[str, float]
"""A tier and the weight of segment popularity beside it: what a threshold names."""
WEIGHTS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
"""Of segment popularity beside the model's scores."""
CLIMB = (POPULAR, SEGMENT, PRIOR, POSTERIOR, HISTORY)
"""Longer histories are answered from further on here: the more of them there is, the less all else counts."""
OWN = (POSTERIOR, HISTORY)
"""Tiers on which a user with a history gets what the model makes of it, from the top of the fallback chain."""
CLEARLY = 2e-4
"""What a further threshold has to bring, added up over the lengths."""
LONGER = (50, 100, 200)
"""Lengths that are asked for too, where half of the users reach them."""


@dataclass(frozen=True, eq=False)
class Measured:
    """The metric of each tier, alone and with segment popularity beside it, where there is any.

    Attributes:
        per_user: by history length, values of the same users whatever the answerer, shape (n_users,).
        whole: likewise with their whole history, of the users of whom a length is the greatest that they reach: those
            whom the threshold at this length would answer. Lengths that fewer than two users end at are left out.
    """

    per_user: dict[int, dict[Answerer, Float64Array]]
    whole: dict[int, dict[Answerer, Float64Array]]

    @property
    def means(self) -> dict[int, dict[Answerer, float]]:
        """Over the users."""
        return {length: {this: float(v.mean()) for this, v in found.items()} for length, found in self.per_user.items()}

    @property
    def harmless(self) -> dict[int, dict[Answerer, float]]:
        """The means of those that take nothing from users with a history, as far as can be told: see `loses`."""
        means = self.means
        for length, found in self.per_user.items():
            asked = [found, *([self.whole[length]] if length in self.whole else [])]
            lost = {this for this in found if length and any(loses(this, values) for values in asked)}
            means[length] = {this: value for this, value in means[length].items() if this not in lost}
        return means


def loses(this: Answerer, found: dict[Answerer, Float64Array]) -> bool:
    """Whether it is below the bare model by more than the standard error of the difference, paired over users.

    A weight is compared with none on the same tier, and a tier that is not the model's own with the highest that is.
    """
    tier, weight = this
    own = next((top for top in OWN if (top, 0.0) in found), tier)
    bare = found[(tier if tier in OWN else own), 0.0]
    gap = found[this] - bare
    return (bool(weight) or tier not in OWN) and bool(gap.mean() < -standard_error(gap))


def measure_answerers(
    chain: FallbackChain, cold_start_users: ColdStartUsers, metric: str, tiers: Sequence[str] | None = None
) -> Measured:
    """Ask the same users at every length, and all of them with what they have, each tier with each weight."""
    per_user: dict[int, dict[Answerer, Float64Array]] = {}
    for length in lengths_of(cold_start_users):
        answerers = _answerers(chain, tiers or chain.tiers, length)
        per_user[length] = _values(chain, cold_start_users.asked(length), metric, answerers)
    shown = np.diff(cold_start_users.places.indptr)
    reached = np.array(sorted(per_user))[np.searchsorted(sorted(per_user), shown, side="right") - 1]
    reached[entries.row_lengths(cold_start_users.targets) == 0] = -1
    whole: dict[int, dict[Answerer, Float64Array]] = {}
    for length in sorted(per_user):
        if length and np.count_nonzero(reached == length) > 1:
            asked = cold_start_users.take(np.flatnonzero(reached == length)).asked(int(shown.max()))
            whole[length] = _values(chain, asked, metric, list(per_user[length]))
    return Measured(per_user, whole)


def _answerers(chain: FallbackChain, tiers: Sequence[str], length: int) -> list[Answerer]:
    weights = (0.0,) if chain.bundle.tiers.segments is None else WEIGHTS
    eligible = [tier for tier in tiers if _may_answer(tier, length)]
    return [(tier, weight) for tier in eligible for weight in (weights if tier in ENCODED else (0.0,))]


def _values(
    chain: FallbackChain, asked: HeldOut, metric: str, answerers: Sequence[Answerer]
) -> dict[Answerer, Float64Array]:
    found = {this: evaluate(OnTier(chain, *this), asked, [metric]) for this in answerers}
    return {this: one.per_user.get(metric, np.array([one.means[metric]])) for this, one in found.items()}


def lengths_of(cold_start_users: ColdStartUsers) -> tuple[int, ...]:
    """Lengths of history at which these users can be asked."""
    shown = np.diff(cold_start_users.places.indptr)
    return (*LENGTHS, *(length for length in LONGER if np.median(shown) >= length))


def choose(values: dict[int, dict[Answerer, float]]) -> tuple[TierThreshold, ...]:
    """The thresholds with the highest sum of values over all lengths, of those that a fallback chain may have.

    One length alone is noisy: what is best there by chance would be taken. So all are chosen together, on three
    conditions that hold down what noise can choose: tiers follow the order of `CLIMB`, the weight of segment popularity
    does not rise, and a further threshold brings `CLEARLY` more than one less.
    """
    lengths = sorted(values)
    paths: list[Path] = [(value, (first,)) for first, value in values[lengths[0]].items()]
    for length in lengths[1:]:
        longer = (_best_to(this, value, paths) for this, value in values[length].items())
        paths = [path for path in longer if path is not None]
    _, best = max(paths, key=lambda path: path[0])
    policy = [TierThreshold(length, *answerer) for length, answerer in zip(lengths, best, strict=True)]
    kept = (
        later for earlier, later in pairwise(policy) if (later.tier, later.weight) != (earlier.tier, earlier.weight)
    )
    return (policy[0], *kept)


Path = tuple[float, tuple[Answerer, ...]]
"""What answers at each length so far, and what that is worth."""


def _best_to(this: Answerer, value: float, paths: Sequence[Path]) -> Path | None:
    """The best path that goes on with `this`; None where it may follow none."""
    found = [
        (total + value - CLEARLY * (this != path[-1]), (*path, this))
        for total, path in paths
        if _may_follow(path[-1], this)
    ]
    return max(found, key=lambda path: path[0], default=None)


def _may_follow(last: Answerer, this: Answerer) -> bool:
    """Whether this may answer longer histories than the last; popularity alone is as if its weight were infinite."""
    weights = [weight if tier in ENCODED else math.inf for tier, weight in (last, this)]
    return CLIMB.index(last[0]) <= CLIMB.index(this[0]) and weights[0] >= weights[1]


def _may_answer(tier: str, length: int) -> bool:
    """Without a history none that goes by it; new items are no question of length."""
    return tier != CONTENT and (length > 0 or tier not in (POSTERIOR, HISTORY))
