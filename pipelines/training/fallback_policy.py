"""Tiers: what answers users of whom little is known, learned from the training part, chosen on the validation part."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from pipelines.dataset.user_features import UserMetadata
from pipelines.evaluation.as_served import OnTier
from pipelines.training.decay import NO_DECAY, Decay, decayed
from pipelines.training.temperature import fit_temperature
from pipelines.training.tier_selection import choose, measure_answerers
from recsys_vae.bundles.bundle import Bundle, Tiers
from recsys_vae.bundles.segment_popularity import SegmentPopularity
from recsys_vae.bundles.tier_policy import HISTORY, POPULAR, TierPolicy
from recsys_vae.data.features import CATEGORY, SET, Schema
from recsys_vae.data.histories import binarise
from recsys_vae.data.interactions import Interactions
from recsys_vae.evaluation.cold_start import ColdStartUsers
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array, Recommender
from recsys_vae.recommender import FallbackChain

SHRINKAGES = (100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0)
"""In interactions; the best on validation is taken."""
SEGMENT_KINDS = (CATEGORY, SET)
"""Of fields whose values are segments."""
MOST_ASKED = 2_000
"""Users who are asked about every tier at every length."""


@dataclass(frozen=True)
class Chosen:
    """What was chosen on validation.

    Attributes:
        tiers: as the bundle keeps them.
        values: the metric by history length and tier, each tier alone.
    """

    tiers: Tiers
    values: dict[int, dict[str, float]]


def choose_tiers(
    model: Recommender,
    learned_from: Interactions,
    known: UserMetadata,
    cold_start_users: ColdStartUsers,
    metric: str,
    *,
    decay: Decay = NO_DECAY,
) -> Chosen:
    """Learn segment popularity, and choose its shrinkage, its scale and what answers at which length of history.

    Args:
        model: trained.
        learned_from: the training part.
        known: metadata of its users.
        cold_start_users: users of the validation part.
        decay: how interactions lose weight with age, for popularity.

    Raises:
        ConfigError: there is a half-life, and no interaction has a time.
    """
    if not known.schema.width and decay.is_none:
        tiers = Tiers()
    else:
        candidates = [learn_segments(learned_from, known, shrinkage, decay) for shrinkage in SHRINKAGES]
        asked = cold_start_users.asked(0)
        found = [evaluate(_Segments(candidate), asked, [metric]).means[metric] for candidate in candidates]
        tiers = Tiers(TierPolicy(), known.schema, candidates[int(np.argmax(found))])
    chain = _chain(model, learned_from, tiers)
    some = cold_start_users.take(sample(len(cold_start_users.users), MOST_ASKED))
    if tiers.segments is not None:
        whole = some.asked(int(np.diff(some.places.indptr).max(initial=0)))
        temperature = fit_temperature(OnTier(chain, chain.tiers[0]), whole)
        tiers = replace(tiers, policy=replace(tiers.policy, temperature=temperature))
        chain = _chain(model, learned_from, tiers)
    bare = measure_answerers(chain, replace(some, metadata=None), metric, (HISTORY, POPULAR))
    described = measure_answerers(chain, some, metric) if known.schema.width else bare
    policy = replace(tiers.policy, described=choose(described.harmless), bare=choose(bare.harmless))
    alone = {
        length: {tier: found[tier, 0.0] for tier, w in found if not w} for length, found in described.means.items()
    }
    return Chosen(replace(tiers, policy=policy), alone)


def _chain(model: Recommender, learned_from: Interactions, tiers: Tiers) -> FallbackChain:
    return FallbackChain(Bundle.unwritten(model, learned_from.items, learned_from.item_counts(), tiers))


def sample(n: int, most: int) -> Int64Array:
    """Rows of at most so many of n users, ascending; the same each time."""
    return np.sort(np.random.default_rng(0).permutation(n)[:most])


def learn_again(chosen: Tiers, learned_from: Interactions, known: UserMetadata, decay: Decay = NO_DECAY) -> Tiers:
    """The same choices, learned from more data.

    Args:
        decay: from when ages are counted; the half-life is the one that was chosen.
    """
    if chosen.segments is None:
        return replace(chosen, schema=known.schema if chosen.schema else None)
    decay = replace(decay, half_life=chosen.segments.half_life)
    segments = learn_segments(learned_from, known, chosen.segments.shrinkage, decay)
    return replace(chosen, schema=known.schema, segments=segments)


def learn_segments(
    learned_from: Interactions, known: UserMetadata, shrinkage: float, decay: Decay = NO_DECAY
) -> SegmentPopularity:
    """Segment popularity of the training users."""
    weights = binarise(learned_from.matrix)
    if not decay.is_none:
        weights = decayed(known.dataset, learned_from, decay)
    metadata = known.rows(learned_from.users.values)
    return SegmentPopularity.learn(
        weights, metadata, segment_columns(known.schema), shrinkage=shrinkage, half_life=decay.half_life
    )


def segment_columns(schema: Schema) -> BoolArray:
    """Which columns of the metadata are segments: values of categories and sets, shape (width,)."""
    flags = [np.full(block.width, block.kind in SEGMENT_KINDS) for block in schema.blocks]
    return np.concatenate([*flags, np.zeros(0, dtype=np.bool_)]).astype(np.bool_)


@dataclass(frozen=True, eq=False)
class _Segments:
    """Segment popularity as something that can be evaluated."""

    segments: SegmentPopularity

    @property
    def n_items(self) -> int:
        return len(self.segments.log_shares)

    @property
    def n_features(self) -> int:
        return self.segments.n_features

    def score(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        nothing = csr_array((histories.shape[0], self.n_features), dtype=np.float32)
        return self.segments.score(nothing if metadata is None else metadata)
