"""Rungs: what answers at which length of history, measured on validation users and chosen for all lengths at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.bundles.tier_policy import CONTENT, ENCODED, HISTORY, POPULAR, POSTERIOR, PRIOR, SEGMENT, Rung
from recsys_vae.evaluation.cold_start import LENGTHS, Newcomers
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.protocols import Float32Array
from recsys_vae.recommender import Ladder

Answerer = tuple[str, float]
"""A tier and the weight of segment popularity beside it: what a rung names."""
WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
"""Of segment popularity beside the model's scores."""
CLIMB = (POPULAR, SEGMENT, PRIOR, POSTERIOR, HISTORY)
"""Longer histories are answered from further on here: the more of them there is, the less all else counts."""
CLEARLY = 2e-4
"""What a further rung has to bring, added up over the lengths."""
LONGER = (50, 100, 200)
"""Lengths that are asked for too, where half of the users reach them."""


@dataclass(frozen=True, eq=False)
class OnTier:
    """A ladder for `evaluate` to measure, of which one tier answers everybody; with None, whatever its rungs name.

    Attributes:
        ladder: it.
        tier: that answers.
        weight: of segment popularity beside it.
    """

    ladder: Ladder
    tier: str | None
    weight: float = 0.0

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return len(self.ladder.bundle.items)

    @property
    def n_features(self) -> int:
        """Width of the metadata."""
        schema = self.ladder.bundle.tiers.schema
        return 0 if schema is None else schema.width

    def score(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        """Scores of all items, shape (n, n_items)."""
        users = self.ladder.encode(histories, metadata, tier=self.tier)
        if self.weight:
            users = replace(users, weights=np.full(len(users), self.weight, dtype=np.float32))
        return self.ladder.scores(users)


def measure_answerers(
    ladder: Ladder, newcomers: Newcomers, metric: str, tiers: Sequence[str] | None = None
) -> dict[int, dict[Answerer, float]]:
    """The metric of each tier by history length, alone and with segment popularity beside it, where there is any."""
    weights = (0.0,) if ladder.bundle.tiers.segments is None else WEIGHTS
    found: dict[int, dict[Answerer, float]] = {}
    for length in lengths_of(newcomers):
        part, eligible = newcomers.asked(length), [tier for tier in tiers or ladder.tiers if _may_answer(tier, length)]
        answerers = [(tier, weight) for tier in eligible for weight in (weights if tier in ENCODED else (0.0,))]
        values = [evaluate(OnTier(ladder, *answerer), part, [metric]).means[metric] for answerer in answerers]
        found[length] = dict(zip(answerers, values, strict=True))
    return found


def lengths_of(newcomers: Newcomers) -> tuple[int, ...]:
    """Lengths of history at which these users can be asked."""
    shown = np.diff(newcomers.places.indptr)
    return (*LENGTHS, *(length for length in LONGER if np.median(shown) >= length))


def choose(values: dict[int, dict[Answerer, float]]) -> tuple[Rung, ...]:
    """The rungs with the highest sum of values over all lengths, of those that a ladder may have.

    One length alone is noisy: what is best there by chance would be taken. So all are chosen together, on three
    conditions that hold down what noise can choose: tiers follow the order of `CLIMB`, the weight of segment popularity
    does not rise, and a further rung brings `CLEARLY` more than one less.
    """
    lengths = sorted(values)
    paths: list[Path] = [(value, (first,)) for first, value in values[lengths[0]].items()]
    for length in lengths[1:]:
        longer = (_best_to(this, value, paths) for this, value in values[length].items())
        paths = [path for path in longer if path is not None]
    _, best = max(paths, key=lambda path: path[0])
    rungs = [Rung(length, *answerer) for length, answerer in zip(lengths, best, strict=True)]
    kept = (later for earlier, later in pairwise(rungs) if (later.tier, later.weight) != (earlier.tier, earlier.weight))
    return (rungs[0], *kept)


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
