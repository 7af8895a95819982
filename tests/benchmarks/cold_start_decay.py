"""Decay in the cold-start benchmark: popularity and segment popularity whose interactions lose weight with age.

The half-life is the one with the highest ndcg@100 of segment popularity on the validation users without a history.
MovieLens 1M tells the time of the latest fifth of its ratings only; the others count as the oldest of these.
"""

import math
from typing import Any

from pipelines.evaluation.as_served import OnTier
from pipelines.training.decay import Decay
from pipelines.training.fallback_policy import learn_segments
from recsys_vae.bundles.bundle import Bundle, Tiers
from recsys_vae.bundles.tier_policy import TierPolicy
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.models.popularity import Popularity, PopularityConfig
from recsys_vae.protocols import Scorer
from recsys_vae.recommender import POPULAR, SEGMENT, FallbackChain
from tests.benchmarks.cold_start_world import METRICS, asked, cold_start_users, known, split

HALF_LIVES = (math.inf, 3000.0, 1000.0, 300.0, 100.0, 30.0)
"""In days."""
SHRINKAGE = 10_000.0


def measure_decay() -> dict[str, Any]:
    """Every half-life on validation; the chosen one and none on test."""
    people = cold_start_users("validation").asked(0)
    tried = {
        half_life: {tier: evaluate(scorer, people, METRICS).means for tier, scorer in tiers(half_life).items()}
        for half_life in HALF_LIVES
    }
    best = max(tried, key=lambda half_life: tried[half_life][SEGMENT]["ndcg@100"])
    systems: dict[str, Scorer] = {
        f"{tier}, {name}": scorer
        for name, half_life in (("no decay", math.inf), ("decay", best))
        for tier, scorer in tiers(half_life).items()
    }
    return {
        "validation": {str(half_life): values for half_life, values in tried.items()},
        "half_life": str(best),
        "h": {"0": asked(systems, cold_start_users("test").asked(0))},
    }


def tiers(half_life: float) -> dict[str, OnTier]:
    """The two tiers that go by popularity, with a half-life in days."""
    train = split().train
    segments = learn_segments(train, known(), SHRINKAGE, Decay(half_life))
    model = Popularity(train.n_items, PopularityConfig())
    bundle = Bundle.unwritten(model, train.items, train.item_counts(), Tiers(TierPolicy(), known().schema, segments))
    return {tier: OnTier(FallbackChain(bundle), tier) for tier in (POPULAR, SEGMENT)}
