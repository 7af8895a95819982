import math

import numpy as np
import pytest

from recsys_vae.bundles.tier_policy import HISTORY, POPULAR, POSTERIOR, PRIOR, Rung, Rungs
from recsys_vae.errors import ConfigError, UnknownNameError

RUNGS = Rungs(
    (Rung(0, PRIOR, 1.0), Rung(1, POSTERIOR, 0.5), Rung(20, HISTORY)), (Rung(0, POPULAR), Rung(3, HISTORY)), lift=2.0
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
    assert not Rungs().are_weighted


@pytest.mark.parametrize(("tier", "weight"), [(PRIOR, -1.0), (PRIOR, float("inf")), (POPULAR, 0.5)])
def test_weights_that_say_nothing_are_refused(tier: str, weight: float) -> None:
    with pytest.raises(ConfigError, match="at least 0"):
        Rung(0, tier, weight)


def test_rungs_survive_a_manifest() -> None:
    assert Rungs.from_settings(RUNGS.as_settings()) == RUNGS


def test_a_bundle_that_never_chose_answers_by_history_or_popularity() -> None:
    assert Rungs.from_settings({}) == Rungs()
    assert Rungs().tiers(np.array([1, 0]), np.array([True, True])).tolist() == [HISTORY, POPULAR]
    assert Rungs().named == {HISTORY, POPULAR}


@pytest.mark.parametrize("described", [(), (Rung(1, HISTORY),), (Rung(0, POPULAR), Rung(0, HISTORY))])
def test_rungs_that_leave_a_gap_are_refused(described: tuple[Rung, ...]) -> None:
    with pytest.raises(ConfigError, match="begin at 0"):
        Rungs(described=described)


def test_tiers_that_do_not_exist_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="prior"):
        Rung(0, "priory")
    with pytest.raises(ConfigError, match="no rungs"):
        Rungs.from_settings({"bare": [0, "popular"]})
    with pytest.raises(UnknownNameError, match="temperature"):
        Rungs.from_settings({"temperature": 0.7})
    for settings in ({"content": "perhaps"}, {"bare": [[0.5, "popular"]]}, {"bare": [[0, "history", math.nan]]}):
        with pytest.raises(ConfigError):
            Rungs.from_settings(settings)
