"""The boundary, against values by hand and against Brownian motion."""

from math import e, inf, log, nan, sqrt

import numpy as np
import pytest

from service.experiments.confidence_sequence import Verdict, crossings, half_widths, verdict


def test_the_boundary_is_the_one_by_hand() -> None:
    # V = t^2 = 1, alpha^2 = 2 / e^2: sqrt(1 * 2 * log(2 / (2 / e^2))) = sqrt(2 * 2) = 2.
    [half] = half_widths(np.array([1.0]), sqrt(2) / e, 1.0)
    assert half == pytest.approx(2.0)
    # V = 3, t = 1: sqrt(3 * 4 * log(4 / (3 * 0.0025)))
    [half] = half_widths(np.array([3.0]), 0.05, 1.0)
    assert half == pytest.approx(sqrt(12 * log(4 / 0.0075)))


def test_in_another_unit_it_is_as_many_times_as_wide() -> None:
    variances = np.array([0.1, 1.0, 10.0])
    assert half_widths(9 * variances, 0.05, 6.0) == pytest.approx(3 * half_widths(variances, 0.05, 2.0))


def test_it_is_wider_than_that_of_one_look() -> None:
    variances = np.geomspace(1e-6, 1, 50)
    assert (half_widths(variances, 0.05, 0.03) > 1.96 * np.sqrt(variances)).all()


def test_without_a_variance_nothing_is_decided() -> None:
    assert (half_widths(np.array([0.0, inf, nan]), 0.05, 1.0) == inf).all()


def test_a_brownian_motion_crosses_it_as_rarely_as_it_says() -> None:
    rng = np.random.default_rng(0)
    information = np.geomspace(0.1, 1000, 200)
    steps = np.sqrt(np.diff(information, prepend=0.0))
    paths = np.cumsum(rng.standard_normal((4000, 200)) * steps, axis=1) / information
    halves = half_widths(1 / information, 0.1, 1.0)
    share = (crossings(paths, np.broadcast_to(halves, paths.shape), np.ones(paths.shape, dtype=bool)) != 0).mean()
    assert 0.04 < share <= 0.1
    plain = 1.645 / np.sqrt(information)
    assert (np.abs(paths) > plain).any(1).mean() > 0.4  # intervals of one look, looked at every time


def test_the_first_interval_without_0_decides_and_later_ones_change_nothing() -> None:
    halves, late = np.array([1.0, 1.0, 1.0, 1.0]), np.array([False, True, True, True])
    assert verdict(np.array([9.0, 0.5, 2.0, -3.0]), halves, late) == (Verdict.BETTER, 2)
    assert verdict(np.array([9.0, -1.5, 2.0, 3.0]), halves, late) == (Verdict.WORSE, 1)
    assert verdict(np.array([9.0, 0.5, nan, 1.0]), halves, late) == (Verdict.OPEN, None)
    assert verdict(np.array([]), np.array([]), np.array([], dtype=bool)) == (Verdict.OPEN, None)
