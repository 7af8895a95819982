import numpy as np
import pytest

from recsys_vae.errors import ConfigError
from recsys_vae.evaluation.bootstrap import across_seeds, bootstrap_means, paired_bootstrap


def test_a_constant_difference_has_no_spread() -> None:
    theirs = np.random.default_rng(0).random(50)
    interval = paired_bootstrap(theirs + 0.25, theirs)
    assert interval.low == pytest.approx(0.25)
    assert interval.high == pytest.approx(0.25)
    assert interval.excludes_zero


def test_one_user_has_no_interval() -> None:
    interval = paired_bootstrap(np.array([0.75]), np.array([0.25]))
    assert interval.difference == 0.5
    assert np.isnan([interval.low, interval.high]).all()
    assert not interval.is_known
    assert not interval.excludes_zero
    assert paired_bootstrap(np.array([0.75, 0.5]), np.array([0.25, 0.5])).is_known


def test_the_interval_is_that_of_the_normal_approximation_for_many_users() -> None:
    ours, theirs = np.random.default_rng(1).random((2, 2000))
    interval, gap = paired_bootstrap(ours, theirs), ours - theirs
    error = gap.std(ddof=1) / np.sqrt(2000)
    assert interval.difference == pytest.approx(gap.mean())
    assert interval.low == pytest.approx(gap.mean() - 1.96 * error, abs=0.1 * error)
    assert interval.high == pytest.approx(gap.mean() + 1.96 * error, abs=0.1 * error)


def test_about_nineteen_in_twenty_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(2)
    held = [
        i.low <= 0 <= i.high
        for i in (paired_bootstrap(rng.normal(size=80), rng.normal(size=80), n_resamples=400) for _ in range(300))
    ]
    assert 0.91 <= np.mean(held) <= 0.98


def test_seeds_are_averaged_before_users_are_resampled() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.random((5, 40)), rng.random((2, 40))
    assert paired_bootstrap(ours, theirs) == paired_bootstrap(ours.mean(axis=0), theirs.mean(axis=0))


def test_several_metrics_share_the_resamples_and_the_seed_fixes_them() -> None:
    gaps = np.random.default_rng(4).normal(size=(30, 2))
    both = bootstrap_means(gaps)
    assert both == bootstrap_means(gaps)
    assert both[1].low == pytest.approx(bootstrap_means(gaps[:, 1:])[0].low, rel=1e-12)
    assert both != bootstrap_means(gaps, seed=1)


def test_unpaired_users_are_an_error() -> None:
    with pytest.raises(ConfigError, match="same users"):
        paired_bootstrap(np.ones(3), np.ones(4))
    with pytest.raises(ConfigError, match="no users"):
        paired_bootstrap(np.ones(0), np.ones(0))
    with pytest.raises(ConfigError, match="confidence"):
        paired_bootstrap(np.ones(3), np.ones(3), confidence=95)


def test_across_seeds() -> None:
    assert across_seeds([1.0, 2.0, 3.0]) == (2.0, pytest.approx(1 / np.sqrt(3)))
    assert np.isnan(across_seeds([1.0])[1])
