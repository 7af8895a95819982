import math

import numpy as np
import pytest

from recsys_vae.bundles.tier_policy import HISTORY, POPULAR, POSTERIOR, PRIOR, TierPolicy, TierThreshold
from recsys_vae.errors import ConfigError, UnknownNameError

RUNGS = TierPolicy(
    (TierThreshold(0, PRIOR, 1.0), TierThreshold(1, POSTERIOR, 0.5), TierThreshold(20, HISTORY)),
    (TierThreshold(0, POPULAR), TierThreshold(3, HISTORY)),
    lift=2.0,
    temperature=0.05,
)


def test_the_longest_history_that_is_reached_decides() -> None:
    lengths = np.array([0, 1, 3, 19, 20])
    described = RUNGS.tiers(lengths, np.ones(5, dtype=np.bool_))
    assert described.tolist() == [PRIOR, POSTERIOR, POSTERIOR, POSTERIOR, HISTORY]
    assert RUNGS.tiers(lengths, np.zeros(5, dtype=np.bool_)).tolist() == [POPULAR, POPULAR, HISTORY, HISTORY, HISTORY]


def test_the_weight_of_popularity_goes_with_the_rung() -> None:
    lengths, described = np.array([0, 19, 20, 3]), np.array([True, True, True, False])
    assert RUNGS.weights(lengths, described).tolist() == [1.0, 0.5, 0.0, 0.0]
    assert RUNGS.are_weighted
    assert not TierPolicy().are_weighted


@pytest.mark.parametrize(("tier", "weight"), [(PRIOR, -1.0), (PRIOR, float("inf")), (POPULAR, 0.5)])
def test_weights_that_say_nothing_are_refused(tier: str, weight: float) -> None:
    with pytest.raises(ConfigError, match="at least 0"):
        TierThreshold(0, tier, weight)


def test_rungs_survive_a_manifest() -> None:
    assert TierPolicy.from_settings(RUNGS.as_settings()) == RUNGS


def test_a_bundle_that_never_chose_answers_by_history_or_popularity() -> None:
    assert TierPolicy.from_settings({}) == TierPolicy()
    assert TierPolicy().temperature == 1.0
    assert "temperature" not in TierPolicy().as_settings()
    assert TierPolicy().tiers(np.array([1, 0]), np.array([True, True])).tolist() == [HISTORY, POPULAR]
    assert TierPolicy().named == {HISTORY, POPULAR}


@pytest.mark.parametrize(
    "described", [(), (TierThreshold(1, HISTORY),), (TierThreshold(0, POPULAR), TierThreshold(0, HISTORY))]
)
def test_rungs_that_leave_a_gap_are_refused(described: tuple[TierThreshold, ...]) -> None:
    with pytest.raises(ConfigError, match="begin at 0"):
        TierPolicy(described=described)


def test_tiers_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="prior"):
        TierThreshold(0, "priory")
    with pytest.raises(ConfigError, match="no thresholds"):
        TierPolicy.from_settings({"bare": [0, "popular"]})
    with pytest.raises(UnknownNameError, match="temperature"):
        TierPolicy.from_settings({"temprature": 0.7})
    for settings in (
        {"content": "perhaps"},
        {"temperature": 0.0},
        {"temperature": math.inf},
        {"bare": [[0.5, "popular"]]},
        {"bare": [[0, "history", math.nan]]},
    ):
        with pytest.raises(ConfigError):
            TierPolicy.from_settings(settings)
