"""The simulation of live tests does what it says of itself."""

import numpy as np
import pytest

from service.experiments.live_test import Estimates
from tests.benchmarks.live_tests import GROUP, POWER, users_needed
from tests.benchmarks.live_tests_world import CANDIDATES, ERROR, K, better_error, visits


def test_the_challenger_gets_as_many_more_clicks_as_it_should() -> None:
    world = visits(150, np.random.default_rng(0))
    error = better_error(world, 0.05)
    base, better = (world.click_chances(world.lists(model, e)).sum() for model, e in ((0, ERROR), (1, error)))
    assert better / base == pytest.approx(1.05, abs=0.005)


def test_lists_hold_what_is_there_once_and_top_places_are_clicked_more() -> None:
    world = visits(100, np.random.default_rng(0))
    lists = world.lists(0, ERROR)
    assert lists.shape == (len(world.user), K)
    assert all(len(set(one)) == K for one in lists.tolist())
    assert 0 <= lists.min() <= lists.max() < CANDIDATES
    assert (np.take_along_axis(world.appeal, lists, axis=1) > 0).mean() > 0.999
    chances = world.click_chances(lists).mean(0)
    assert chances[0] > 2 * chances[4] > 2 * chances[9]


def test_the_users_needed_are_found_between_what_does_and_what_does_not_suffice() -> None:
    def test(n_groups: int) -> Estimates:  # decided in as many of 1,000 experiments as there are groups
        values = np.where(np.arange(1000) < n_groups, 1.0, 0.0)[:, None]
        late = np.ones((1000, 1), dtype=bool)
        return Estimates((values, values), (values, values), values, np.full((1000, 1), 1e-9), late)

    assert users_needed(test) == pytest.approx(1000 * POWER * GROUP, rel=0.01)
