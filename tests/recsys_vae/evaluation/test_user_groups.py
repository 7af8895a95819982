import numpy as np
import pytest

from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.user_groups import UNKNOWN, by_group, widest_gap


def test_groups_and_their_gaps_by_hand() -> None:
    values = np.array([1.0, 0.0, 1.0, 1.0, 0.0, np.nan, 0.5])
    groups = by_group(values, ["f", "f", "f", "m", "m", "m", None])
    assert [(group.name, group.size) for group in groups] == [("f", 3), ("m", 2), (UNKNOWN, 1)]
    f = groups[0]
    assert f.mean == pytest.approx(2 / 3)
    assert f.standard_error == pytest.approx(np.std([1, 0, 1], ddof=1) / np.sqrt(3))
    others = np.array([1, 0, 0.5])
    assert f.gap.difference == pytest.approx(2 / 3 - 0.5)
    error = np.hypot(f.standard_error, others.std(ddof=1) / np.sqrt(3))
    assert f.gap.high - f.gap.low == pytest.approx(2 * 1.959964 * error)
    assert not groups[2].gap.is_known  # of one user


def test_the_widest_gap_is_that_of_groups_large_enough() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0.5, 0.1, 100), rng.normal(0.3, 0.1, 50), np.full(5, 9.0), np.zeros(60)])
    groups = by_group(values, ["a"] * 100 + ["b"] * 50 + ["c"] * 5 + [None] * 60)
    found = widest_gap(groups)
    assert found is not None
    best, worst, gap = found
    assert (best.name, worst.name) == ("a", "b")
    assert gap.low < 0.2 < gap.high
    assert gap.excludes_zero
    assert widest_gap(groups[:1]) is None


def test_a_group_each() -> None:
    with pytest.raises(ConfigError, match="2 users have values, 1 a group"):
        by_group(np.ones(2), ["a"])
