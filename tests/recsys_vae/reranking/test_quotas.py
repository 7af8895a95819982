"""Quotas: the list is the best one that keeps them, of exactly k."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_vae.reranking.caps import Cap, Counts, Gate
from recsys_vae.reranking.quotas import Reserve, kept, long_tail, untouched


def flags(rows: list[list[int]]) -> np.ndarray:
    return np.array(rows, dtype=bool)


def test_the_last_places_are_kept_for_what_is_missing() -> None:
    members = flags([[0], [0], [0], [1], [0], [1], [1]])
    assert Reserve(members, np.array([2]), 4).best_first(4).tolist() == [0, 1, 3, 5]
    assert Reserve(members, np.array([0]), 4).best_first(4).tolist() == [0, 1, 2, 3]
    assert Reserve(members, np.array([3]), 3).best_first(3).tolist() == [3, 5, 6]


def test_a_quota_gives_way_where_there_are_not_so_many() -> None:
    members = flags([[0], [0], [0], [1]])
    assert Reserve(members, np.array([3]), 3).best_first(3).tolist() == [0, 1, 3]
    assert Reserve(flags([[0]] * 4), np.array([2]), 3).best_first(3).tolist() == [0, 1, 2]


def test_caps_hold_and_quotas_give_way_to_them() -> None:
    members = flags([[0], [0], [1], [1], [1]])
    values = [((0, "x"),), ((0, "x"),), ((0, "y"),), ((0, "y"),), ((0, "z"),)]
    reserve = Reserve(members, np.array([3]), 3, Gate(values, Counts([Cap("brand", 1)], ())))
    assert reserve.best_first(3).tolist() == [0, 2, 4]


def test_where_places_do_not_suffice_items_of_several_groups_go_first() -> None:
    members = flags([[0, 0], [1, 0], [0, 1], [1, 1]])
    assert Reserve(members, np.array([1, 1]), 1).best_first(1).tolist() == [3]
    assert Reserve(members, np.array([2, 2]), 3).best_first(3).tolist() == [1, 2, 3]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_list_that_keeps_disjoint_quotas_has_a_larger_sum(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 9))
    groups = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    scores = np.sort(np.array(data.draw(st.lists(st.integers(0, 20), min_size=n, max_size=n))))[::-1]
    k, wanted = data.draw(st.integers(1, n)), np.array(data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3))))
    members = np.stack([groups == 1, groups == 2], axis=1)
    found = Reserve(members, wanted, k).best_first(k)
    assert len(set(found.tolist())) == k
    possible = np.minimum(wanted, members.sum(axis=0))
    if possible.sum() <= k:
        best = max(
            scores[list(places)].sum()
            for places in combinations(range(n), k)
            if (members[list(places)].sum(axis=0) >= possible).all()
        )
        assert (members[found].sum(axis=0) >= possible).all()
        assert scores[found].sum() == best


def test_a_shorter_list_spares_what_quotas_need() -> None:
    members = flags([[0], [0], [1], [0], [1]])
    assert kept(members, np.array([2]), 4).tolist() == [0, 1, 2, 4]
    assert kept(members, np.array([2]), 3).tolist() == [0, 2, 4]
    assert kept(members, np.array([2]), 1).tolist() == [2]
    assert kept(members, np.array([5]), 5).tolist() == [0, 1, 2, 3, 4]


def test_the_long_tail_is_what_the_bestsellers_leave() -> None:
    # 50 + 30 of 100 interactions are the head; of equals the smaller row is the better seller.
    assert long_tail(np.array([5, 50, 5, 30, 10])).tolist() == [True, False, True, False, True]
    assert long_tail(np.array([40, 41, 19])).tolist() == [False, False, True]
    assert untouched(np.array([0, 1, 0])).tolist() == [True, False, True]
