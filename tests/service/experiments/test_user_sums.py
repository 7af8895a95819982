"""Sums over users give what the users themselves give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.experiments.ab_test import Tally
from service.experiments.user_sums import UserSums, relative_difference

people = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=2, max_size=30)


def sums(shown: list[int], clicked: list[int]) -> UserSums:
    return UserSums.over(np.array([shown], dtype=float).T, np.array([clicked], dtype=float).T)


@given(people, people)
def test_rate_and_variance_are_those_of_a_tally_however_users_are_put_together(one: list, other: list) -> None:
    shown, clicked = ([values[place] for values in one + other] for place in (0, 1))
    tally = Tally(np.array(shown, dtype=float), np.array(clicked, dtype=float))
    whole = sums([n for n, _ in one], [y for _, y in one]) + sums([n for n, _ in other], [y for _, y in other])
    assert whole.rate == pytest.approx(tally.rate)
    assert whole.variance == pytest.approx(tally.variance, abs=1e-12)


def test_who_was_shown_nothing_does_not_count() -> None:
    assert sums([4, 0, 2, 2], [1, 0, 1, 0]).users == 3
    assert sums([4, 0, 2, 2], [1, 0, 1, 0]).variance == pytest.approx(0.01171875)  # by hand, see test_ab_test.py


def test_the_difference_is_told_as_a_part_of_the_rate_of_both() -> None:
    # By hand, see test_ab_test.py: rates 2/8 and 3/4, together 5/12; variances 0.01171875 and 0.015625.
    value, variance = relative_difference(sums([4, 2, 2], [1, 1, 0]), sums([1, 3], [1, 2]))
    assert value == pytest.approx(0.5 * 12 / 5)
    assert variance == pytest.approx((0.01171875 + 0.015625) * (12 / 5) ** 2)


def test_one_side_without_clicks_has_a_difference_and_both_have_none() -> None:
    value, variance = relative_difference(sums([4, 2, 2], [1, 1, 0]), sums([4, 4], [0, 0]))
    assert value == pytest.approx(-0.25 / 0.125)
    assert 0 < variance < np.inf
    value, variance = relative_difference(sums([1], [0]), sums([1], [0]))
    assert np.isnan(value).all()
    assert not np.isfinite(variance).any()
