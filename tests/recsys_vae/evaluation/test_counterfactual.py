"""Counterfactual estimates: by hand, and against a world whose truth is known."""

import numpy as np
import pytest

from recsys_vae.errors import DataError, EmptyDataError
from recsys_vae.evaluation.counterfactual import (
    PRIOR_IMPRESSIONS,
    Counterfactual,
    Impressions,
    difference,
    estimate,
)


def impressions(rows: list[tuple[int, int, int, float, float]]) -> Impressions:
    users, lists, items, propensities, rewards = (np.array(column) for column in zip(*rows, strict=True))
    return Impressions(users, lists, items, propensities.astype(float), rewards.astype(float))


def value(found: Counterfactual, estimator: str) -> float:
    return next(one.value for one in found.estimates if one.estimator == estimator)


BY_HAND = impressions(
    [(0, 0, 0, 0.5, 1), (0, 0, 1, 0.5, 1), (1, 1, 2, 0.25, 0), (1, 1, 0, 0.5, 1), (1, 2, 3, 1.0, 1), (1, 2, -1, 0.1, 1)]
)
"""Users 0 and 1, three lists of two."""


def test_a_case_solved_by_hand() -> None:
    found = estimate(BY_HAND, np.array([[0, 3], [2, 3]]))
    # Matches: (0, item 0): w 2, r 1; (1, item 2): w 4, r 0; (1, item 3): w 1, r 1. Places: 2 + 2 * 2.
    assert found.matched == 3
    assert value(found, "ips") == pytest.approx((2 * 1 + 4 * 0 + 1 * 1) / 6)
    assert value(found, "snips") == pytest.approx(3 / 7)
    assert found.weight == pytest.approx(7 / 6)
    assert found.effective == pytest.approx(7**2 / (2**2 + 4**2 + 1))
    assert found.logged == pytest.approx(5 / 6)
    # User 0 is predicted from user 1, whose mean is 3/4, and user 1 from user 0, whose mean is 1.
    n = PRIOR_IMPRESSIONS
    m_0, m_3 = (1 + n * 3 / 4) / (1 + n), (1 + n * 3 / 4) / (1 + n)
    of_lists = (m_0 + m_3) + 2 * (1 + 1)
    assert value(found, "dr") == pytest.approx((of_lists + 2 * (1 - m_0) + 4 * (0 - 1) + 1 * (1 - 1)) / 6)
    per_user = np.array([[2, 2], [1, 4]], dtype=float)
    residuals = per_user[:, 0] - 3 / 6 * per_user[:, 1]
    assert found.estimates[0].standard_error == pytest.approx(np.sqrt(2 * (residuals**2).sum()) / 6)


def test_weights_can_be_cut() -> None:
    found = estimate(BY_HAND, np.array([[0, 3], [2, 3]]), largest_weight=1.5)
    assert found.clipped == 2
    assert value(found, "ips") == pytest.approx((1.5 * 1 + 1.5 * 0 + 1 * 1) / 6)


def test_a_list_that_ends_has_fewer_places() -> None:
    found = estimate(BY_HAND, np.array([[0, -1], [-1, -1]]))
    assert value(found, "ips") == pytest.approx(2 / 1)
    nothing = estimate(BY_HAND, np.array([[5, 6], [5, 6]]))
    assert (nothing.matched, nothing.effective, value(nothing, "ips")) == (0, 0, 0)
    assert np.isnan(value(nothing, "snips"))
    assert nothing.is_thin


def test_the_policy_that_showed_the_lists_earns_what_it_earned() -> None:
    rng = np.random.default_rng(0)
    rows = [(user, user, item, 1.0, float(rng.random() < 0.3)) for user in range(50) for item in (0, 1)]
    found = estimate(impressions(rows), np.tile([0, 1], (50, 1)))
    for name in ("ips", "snips", "dr"):
        assert value(found, name) == pytest.approx(found.logged)
    assert found.estimates[0].standard_error == pytest.approx(found.logged_error)
    assert difference(found, found, "dr") == (0, 0)


def world(rng: np.random.Generator, n_users: int, clicks: np.ndarray) -> Impressions:
    """Lists of two of six items, drawn with probabilities that favour the first; clicks by item and taste."""
    chances = np.array([0.9, 0.5, 0.3, 0.15, 0.1, 0.05])  # each item by itself: Poisson sampling
    shown = rng.random((n_users, 6)) < chances
    users, items = np.nonzero(shown)
    rewards = (rng.random(len(users)) < clicks[users % 3, items]).astype(float)
    return Impressions(users, users, items, chances[items], rewards)


def test_estimates_find_the_truth_and_their_errors_its_distance() -> None:
    rng = np.random.default_rng(1)
    clicks = rng.random((3, 6)) * 0.6
    n_users = 300
    policy = np.array([[5, 1], [2, 3], [4, 0]])[np.arange(n_users) % 3]
    truth = clicks[(np.arange(n_users) % 3)[:, None], policy].mean()
    found = [estimate(world(rng, n_users, clicks), policy) for _ in range(200)]
    for place, name in enumerate(("ips", "snips", "dr")):
        values = np.array([value(one, name) for one in found])
        errors = np.array([one.estimates[place].standard_error for one in found])
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(values))
        assert errors.mean() == pytest.approx(values.std(), rel=0.2)
    spread = {name: np.std([value(one, name) for one in found]) for name in ("ips", "snips", "dr")}
    assert spread["dr"] < spread["ips"]
    assert np.mean([one.weight for one in found]) == pytest.approx(1, abs=0.05)


def test_the_error_of_a_difference_is_that_of_pairs() -> None:
    rng = np.random.default_rng(2)
    clicks, n_users = rng.random((3, 6)) * 0.6, 200
    ours, theirs = np.tile([0, 1], (n_users, 1)), np.tile([0, 2], (n_users, 1))
    gaps = []
    for _ in range(200):
        seen = world(rng, n_users, clicks)
        gaps.append(difference(estimate(seen, ours), estimate(seen, theirs), "ips"))
    values, errors = np.array(gaps).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.2)
    asked = np.arange(n_users) % 3
    assert values.mean() == pytest.approx((clicks[asked, 1] - clicks[asked, 2]).mean() / 2, abs=0.02)


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(DataError, match="above 0, at most 1"):
        impressions([(0, 0, 0, 0.0, 1)])
    with pytest.raises(DataError, match="finite"):
        impressions([(0, 0, 0, 0.5, float("nan"))])
    with pytest.raises(DataError, match="several users"):
        impressions([(0, 0, 0, 0.5, 1), (1, 0, 0, 0.5, 1)])
    with pytest.raises(EmptyDataError):
        Impressions(*(np.zeros(0, dtype=int) for _ in range(3)), np.zeros(0), np.zeros(0))
    with pytest.raises(DataError, match="a reward each"):
        Impressions(np.zeros(1, int), np.zeros(1, int), np.zeros(2, int), np.ones(1), np.ones(1))
    with pytest.raises(DataError, match="none of the 1 lists"):
        estimate(BY_HAND, np.array([[0, 1]]))
    with pytest.raises(DataError, match="largest weight"):
        estimate(BY_HAND, np.array([[0, 1], [0, 1]]), largest_weight=0)
