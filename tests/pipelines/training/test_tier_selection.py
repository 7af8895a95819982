import numpy as np
import pytest

from pipelines.evaluation.as_served import OnTier
from pipelines.training.tier_selection import choose, lengths_of, measure_answerers
from recsys_vae.bundles.bundle import Bundle, Tiers
from recsys_vae.bundles.segment_popularity import SegmentPopularity
from recsys_vae.bundles.tier_policy import HISTORY, POPULAR, POSTERIOR, PRIOR, SEGMENT, TierPolicy, TierThreshold
from recsys_vae.data.features import Field, Schema
from recsys_vae.data.ids import IdMap
from recsys_vae.evaluation.cold_start import LENGTHS, ColdStartUsers
from recsys_vae.recommender import FallbackChain
from tests.worlds import csr, two_tastes, untrained

WORLD = two_tastes()


def test_a_tier_takes_over_where_it_is_clearly_better() -> None:
    values = {
        0: {(PRIOR, 0.0): 0.30, (POPULAR, 0.0): 0.20},
        1: {(POSTERIOR, 0.0): 0.3001, (PRIOR, 0.0): 0.30, (HISTORY, 0.0): 0.1},  # not clearly
        2: {(POSTERIOR, 0.0): 0.35, (PRIOR, 0.0): 0.30, (HISTORY, 0.0): 0.34},
        5: {(POSTERIOR, 0.0): 0.40, (PRIOR, 0.0): 0.30, (HISTORY, 0.0): 0.4005},
        20: {(POSTERIOR, 0.0): 0.40, (PRIOR, 0.0): 0.30, (HISTORY, 0.0): 0.50},
    }
    # Each is paid for once, so that it begins where it is worth anything.
    assert choose(values) == (TierThreshold(0, PRIOR), TierThreshold(1, POSTERIOR), TierThreshold(5, HISTORY))
    assert choose({length: found for length, found in values.items() if length < 2}) == (TierThreshold(0, PRIOR),)


def test_a_fallback_chain_is_climbed_never_down_again() -> None:
    values = {
        0: {(PRIOR, 0.0): 0.3, (SEGMENT, 0.0): 0.2},
        1: {(PRIOR, 0.0): 0.3, (SEGMENT, 0.0): 0.31},  # by chance: below it is worse
        2: {(PRIOR, 0.0): 0.4, (SEGMENT, 0.0): 0.2},
    }
    assert choose(values) == (TierThreshold(0, PRIOR),)


def test_the_weight_of_popularity_does_not_rise() -> None:
    values = {
        0: {(PRIOR, 0.5): 0.30, (PRIOR, 1.0): 0.31},
        1: {(PRIOR, 0.5): 0.33, (PRIOR, 1.0): 0.30},
        2: {(PRIOR, 0.5): 0.33, (PRIOR, 1.0): 0.34},
    }
    assert choose(values) == (TierThreshold(0, PRIOR, 1.0), TierThreshold(1, PRIOR, 0.5))


@pytest.mark.parametrize(("shown", "longer"), [(12, ()), (60, (50,))])
def test_longer_histories_are_asked_for_where_half_of_the_users_have_them(shown: int, longer: tuple[int, ...]) -> None:
    places = csr([list(range(shown))] * 2 + [[0]], 70)
    people = ColdStartUsers(IdMap.from_values(["a", "b", "c"]), places, csr([[69]] * 3, 70))
    assert lengths_of(people) == (*LENGTHS, *longer)


def test_every_tier_is_measured_alone_and_with_popularity_beside_it() -> None:
    records = [{"side": str(user % 2)} for user in range(WORLD.n_users)]
    schema = Schema.learn([Field("side", "category")], records)
    metadata = schema.encode(records)
    segments = SegmentPopularity.learn(WORLD.matrix, metadata, np.ones(2, np.bool_), shrinkage=1.0)
    popularity = WORLD.item_counts()
    bundle = Bundle.unwritten(untrained("mult-vae", 12), WORLD.items, popularity, Tiers(TierPolicy(), schema, segments))
    chain = FallbackChain(bundle)
    places = csr([[user % 2 * 6] for user in range(WORLD.n_users)], 12)
    targets = csr([[user % 2 * 6 + 1, user % 2 * 6 + 2] for user in range(WORLD.n_users)], 12)
    people = ColdStartUsers(WORLD.users, places, targets, metadata)
    found = measure_answerers(chain, people, "recall@5").means
    assert set(found[0]) == {(SEGMENT, 0.0), (POPULAR, 0.0)}
    assert found[1][HISTORY, 2.0] > found[1][HISTORY, 0.0]  # the sides say it all, and the model is untrained
    scores = OnTier(chain, HISTORY, 0.5).score(places, metadata) - OnTier(chain, HISTORY).score(places, metadata)
    assert scores == pytest.approx(0.5 * segments.score(metadata), rel=1e-4, abs=1e-4)
