"""Co-occurrence on baskets that are counted by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from recsys_vae.data import co_occurrence
from recsys_vae.data.co_occurrence import co_views, incidence, lifts, runs, sessions, strongest, without_long
from recsys_vae.data.signals import UNTIMED

BASKETS = csr_array(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [0, 0, 1]], np.float32))


def test_a_session_ends_where_nothing_follows_in_time_and_with_its_user() -> None:
    users = np.array([0, 0, 0, 0, 1, 1])
    times = np.array([UNTIMED, 0, 10, 21, 21, 31])
    assert sessions(users, times, 10).tolist() == [-1, 0, 0, 1, 2, 2]
    assert sessions(users[:0], times[:0], 10).tolist() == []


def test_groups_hold_an_item_once_and_events_without_a_group_are_left_out() -> None:
    found = incidence(np.array([0, 0, 1, -1]), np.array([2, 2, 0, 1]), 3)
    assert found.toarray().tolist() == [[0, 0, 1], [1, 0, 0]]
    assert incidence(np.array([-1]), np.array([1]), 3).shape == (0, 3)
    assert without_long(BASKETS, 1).toarray().tolist() == [[0, 0, 1]]


def test_lift_is_what_chance_would_not_bring_shrunk() -> None:
    found = lifts(BASKETS, shrinkage=1.0, at_least=2, most=5).toarray()
    # Of four baskets three hold a, two hold b, two hold both: chance would bring 3 * 2 / 4 = 1.5 of them.
    expected = (2 + 1) / (1.5 + 1)
    assert found == pytest.approx(np.array([[0, expected, 0], [expected, 0, 0], [0, 0, 0]]))
    assert lifts(BASKETS, shrinkage=1e6, at_least=2, most=5).toarray()[0, 1] == pytest.approx(1, abs=1e-5)
    assert lifts(BASKETS, shrinkage=1.0, at_least=3, most=5).nnz == 0


def test_a_pair_below_chance_is_no_pair() -> None:
    assert lifts(BASKETS, shrinkage=1.0, at_least=1, most=5).toarray()[0, 2] == 0  # once, and 1.5 by chance


def test_co_views_count_short_histories_for_more_and_common_items_for_less() -> None:
    found = co_views(BASKETS, damping=1.0, longest=9, most=9).toarray()
    # a: b twice, in histories of 2, by 2 users: 2/2/2; c once, by 2 users: 1/2/2.
    assert found[0] == pytest.approx([0, 1, 0.5])
    assert found[2] == pytest.approx([1, 0, 0])
    assert co_views(BASKETS, damping=0.0, longest=1, most=9).nnz == 0


def test_runs_cut_each_history_twice_and_never_across_users() -> None:
    groups, items = runs(np.array([0, 0, 0, 0, 1]), np.arange(5), 2)
    held = [sorted(items[groups == group].tolist()) for group in range(groups.max() + 1)]
    assert held == [[0, 1], [2, 3], [4], [0], [1, 2], [3], [4]]
    assert [len(part) for part in runs(np.zeros(0, np.int64), np.zeros(0, np.int64), 2)] == [0, 0]


def test_the_strongest_are_kept_and_ties_go_to_the_smaller_column() -> None:
    matrix = csr_array(np.array([[3, 5, 5, 5], [0, 0, 0, 1], [0, 0, 0, 0]], np.float64))
    assert strongest(matrix, 2).toarray().tolist() == [[0, 5, 5, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_the_blocks_of_a_product_do_not_show(seed: int, entries: int) -> None:
    rng = np.random.default_rng(seed)
    baskets = csr_array((rng.random((12, 7)) < 0.4).astype(np.float32))
    whole = [co_views(baskets, damping=0.5, longest=99, most=3), lifts(baskets, shrinkage=1, at_least=1, most=3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(co_occurrence, "PRODUCT_ENTRIES", entries)
        cut = [co_views(baskets, damping=0.5, longest=99, most=3), lifts(baskets, shrinkage=1, at_least=1, most=3)]
    for one, other in zip(whole, cut, strict=True):
        assert (one.toarray() == other.toarray()).all()
        assert one.has_sorted_indices
