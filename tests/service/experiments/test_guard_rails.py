"""Guard rails and how long still, computed by hand."""

import math
from contextlib import closing

import numpy as np
import pytest

from service.experiments.ab_test import Tally
from service.experiments.confidence_sequence import half_widths
from service.experiments.guard_rails import empty_lists, sample_ratio, several_variants
from service.experiments.time_left import days_left, variance_of
from service.store.impressions import Impression, ImpressionTable
from tests.service.places import Place


def test_uneven_users_are_told_from_chance() -> None:
    kept = sample_ratio({"a": 480, "b": 520}, {"a": 0.5, "b": 0.5})  # chi-square 1.6, p 0.206
    assert (kept.is_kept, kept.said) == (True, "a 480 for 500, b 520 for 500; chance of that: 0.21")
    assert sample_ratio({"a": 400, "b": 600}, {"a": 1.0, "b": 1.0}).is_kept is False
    assert sample_ratio({"a": 900, "b": 100, "chosen": 7}, {"a": 0.9, "b": 0.1}).is_kept is True
    assert sample_ratio({"a": 900}, {"a": 1.0}).is_kept is None


def test_lists_without_items_and_users_of_several_variants_are_counted(place: Place) -> None:
    with closing(place.open()) as store:
        lists = [Impression(f"r{n}", None, "ab"[n % 2], "v", True, () if n < 3 else ("x",), 10) for n in range(20)]
        ImpressionTable(store.database).add([*lists, lists[0]._replace(answered_at=1)])
        assert [(one.name, one.said, one.is_kept) for one in empty_lists(store.database, 5)] == [
            ("Empty lists of a", "2 of 10", False), ("Empty lists of b", "1 of 10", False)
        ]  # fmt: skip
    tally = Tally(np.ones(100), np.zeros(100))
    assert several_variants([tally, tally], 2).is_kept is True
    assert several_variants([tally, tally], 3).is_kept is False


def test_the_days_left_are_those_in_which_the_variance_gets_small_enough() -> None:
    for variance in (1e-6, 1e-4, 0.3):
        [half] = half_widths(np.array([variance]), 0.05, 0.03)
        assert variance_of(half, 0.05, 0.03) == pytest.approx(variance, rel=1e-6)
    [now], [then] = (half_widths(np.array([v]), 0.05, 0.03) for v in (4e-4, 1e-4))
    assert days_left(5, now, then, 0.05, 0.03) == 15  # a quarter of the variance takes four times as long
    assert days_left(5, then, now, 0.05, 0.03) == 0
    assert days_left(5, math.inf, 0.03, 0.05, 0.03) is None
