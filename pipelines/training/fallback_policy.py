"""Tiers: what answers users of whom little is known, learned from the training part, chosen on the validation part."""

import math
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import encode
from pipelines.dataset.user_features import UserMetadata
from pipelines.evaluation.as_served import OnTier
from pipelines.training.temperature import fit_temperature
from pipelines.training.tier_selection import choose, measure_answerers
from recsys_vae.bundles.bundle import Bundle, Tiers
from recsys_vae.bundles.segment_popularity import SegmentPopularity
from recsys_vae.bundles.tier_policy import HISTORY, POPULAR, TierPolicy
from recsys_vae.data.columns import TIMESTAMP, WEIGHT
from recsys_vae.data.features import CATEGORY, SET, Schema
from recsys_vae.data.histories import binarise
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import ConfigError
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
    half_life: float = math.inf,
) -> Chosen:
    """Learn segment popularity, and choose its shrinkage, its scale and what answers at which length of history.

    Args:
        model: trained.
        learned_from: the training part.
        known: metadata of its users.
        cold_start_users: users of the validation part.
        half_life: days in which the weight of an interaction halves, for popularity.

    Raises:
        ConfigError: there is a half-life, and no interaction has a time.
    """
    if not known.schema.width and half_life == math.inf:
        tiers = Tiers()
    else:
        candidates = [learn_segments(learned_from, known, shrinkage, half_life) for shrinkage in SHRINKAGES]
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


def learn_again(chosen: Tiers, learned_from: Interactions, known: UserMetadata) -> Tiers:
    """The same choices, learned from more data."""
    if chosen.segments is None:
        return replace(chosen, schema=known.schema if chosen.schema else None)
    segments = learn_segments(learned_from, known, chosen.segments.shrinkage, chosen.segments.half_life)
    return Tiers(chosen.policy, known.schema, segments)


def learn_segments(
    learned_from: Interactions, known: UserMetadata, shrinkage: float, half_life: float = math.inf
) -> SegmentPopularity:
    """Segment popularity of the training users."""
    weights = binarise(learned_from.matrix)
    if half_life != math.inf:
        weights = decayed(known.dataset, learned_from, half_life)
    metadata = known.rows(learned_from.users.values)
    return SegmentPopularity.learn(
        weights, metadata, segment_columns(known.schema), shrinkage=shrinkage, half_life=half_life
    )


def decayed(dataset: DatasetDir, learned_from: Interactions, half_life: float) -> csr_array:
    """The training interactions; the weight of each halves with every `half_life` days before the latest.

    Interactions of unknown time count as the oldest.

    Raises:
        ConfigError: the half-life is not above 0, or none has a time.
    """
    if not half_life > 0:
        raise ConfigError(f"A half-life is a number of days above 0; got {half_life}.")
    time = pl.col(TIMESTAMP)
    oldest, latest = dataset.interactions().select(time.min().alias("min"), time.max().alias("max")).collect().row(0)
    if latest is None:
        raise ConfigError("A half-life needs times, and no interaction of this dataset has one. Leave --half-life out.")
    days = (pl.lit(latest) - time.fill_null(oldest)).dt.total_seconds() / 86_400
    weight = (0.5 ** (days / half_life)).clip(lower_bound=1e-6).cast(pl.Float32)
    frame = dataset.interactions().with_columns(weight.alias(WEIGHT))
    return encode(frame, learned_from.users, learned_from.items).matrix


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
