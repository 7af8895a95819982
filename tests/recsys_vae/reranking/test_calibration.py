"""Calibration: the greedy list of Steck (2018), against a choice by brute force, and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_vae.data.attributes import Attributes
from recsys_vae.reranking.calibration import SMOOTHING, calibrate, pool_size, wanted_shares
from recsys_vae.reranking.caps import Cap, Counts, Gate

ONE = np.ones(1)


def shares(cells: list[list[str]]) -> np.ndarray:
    """Over a b c, for all cells alike."""
    found = Attributes.of_cells([["a"], ["b"], ["c"], *cells])
    return found.shares[3:]


def test_the_list_follows_the_history() -> None:
    # The user has 3/4 a, 1/4 b; scores alone give four of a.
    scores = np.array([9.0, 8.0, 7.0, 6.0, 5.0, 4.0])
    pool = shares([["a"], ["a"], ["a"], ["a"], ["b"], ["c"]])
    history = shares([["a"], ["a"], ["a"], ["b"]])
    assert calibrate(scores, pool, history, np.ones(4), 4, 0.0).tolist() == [0, 1, 2, 3]
    assert calibrate(scores, pool, history, np.ones(4), 4, 0.9).tolist() == [0, 4, 1, 2]
    assert sorted(calibrate(scores, pool, history, np.array([1.0, 1, 1, -5]), 4, 1.0).tolist()) == [0, 1, 2, 3]


def test_earlier_pages_count() -> None:
    scores, pool, history = np.array([2.0, 1.0]), shares([["a"], ["b"]]), shares([["a"], ["b"]])
    assert calibrate(scores, pool, history, np.ones(2), 1, 0.9).tolist() == [0]
    assert calibrate(scores, pool, history, np.ones(2), 1, 0.9, shown=shares([["a"]])).tolist() == [1]


def test_without_a_history_or_values_the_order_is_that_of_the_scores() -> None:
    scores, pool = np.array([3.0, 2.0, 1.0]), shares([["a"], [], ["b"]])
    assert calibrate(scores, pool, shares([]), np.zeros(0), 3, 0.5).tolist() == [0, 1, 2]
    assert calibrate(scores, pool, shares([[]]), ONE, 3, 0.5).tolist() == [0, 1, 2]
    assert calibrate(np.zeros(0), pool[:0], shares([["a"]]), ONE, 3, 0.5).tolist() == []


def test_caps_hold() -> None:
    door = Gate([((0, "x"),), ((0, "x"),), ()], Counts([Cap("brand", 1)], ()))
    found = calibrate(np.array([3.0, 2, 1]), shares([["a"]] * 3), shares([["a"]]), ONE, 3, 0.5, door=door)
    assert found.tolist() == [0, 2]


def test_what_is_wanted_is_weighted() -> None:
    np.testing.assert_allclose(wanted_shares(shares([["a"], ["a", "b"]]), np.array([1.0, 2.0])), [2 / 3, 1 / 3, 0])
    assert wanted_shares(shares([["a"]]), np.array([-1.0])).tolist() == [0, 0, 0]
    assert [pool_size(k) for k in (1, 20, 100, 1000, 5000)] == [400, 400, 1000, 2000, 5000]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_every_step_takes_what_gains_most(data: st.DataObject) -> None:
    cell = st.lists(st.sampled_from("abc"), max_size=3, unique=True)
    cells = data.draw(st.lists(cell, min_size=1, max_size=7))
    history = data.draw(st.lists(cell, min_size=1, max_size=4))
    strength = data.draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))
    scores = np.sort(np.random.default_rng(data.draw(st.integers(0, 99))).random(len(cells)))[::-1]
    pool, known = shares(cells), shares(history)
    found = calibrate(scores, pool, known, np.ones(len(history)), 4, strength).tolist()
    assert len(set(found)) == min(4, len(cells))
    wanted, relevance = wanted_shares(known, np.ones(len(history))), (scores - scores.min()) / max(np.ptp(scores), 1e-9)

    def objective(places: list[int]) -> float:
        listed = pool[places].toarray().sum(axis=0) / max(1, sum(bool(cells[place]) for place in places))
        mixed = (1 - SMOOTHING) * listed + SMOOTHING * wanted
        divergence = sum(w * np.log(w / m) for w, m in zip(wanted, mixed, strict=True) if w > 0)
        return (1 - strength) * relevance[places].sum() - strength * divergence

    for n in range(1, len(found) + 1):
        others = [place for place in range(len(cells)) if place not in found[: n - 1]]
        best = max(objective([*found[: n - 1], place]) for place in others)
        assert objective(found[:n]) == pytest.approx(best, abs=1e-6)
