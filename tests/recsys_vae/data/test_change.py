import numpy as np

from recsys_vae.data.change import Change
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from tests.worlds import csr

BEFORE = Interactions(csr([[0, 1], [1, 2], [0]], 3), IdMap.from_values(["ann", "bob", "cid"]), IdMap.from_values("ace"))
AFTER = Interactions(
    csr([[0, 1], [0, 2], [1]], 3), IdMap.from_values(["ann", "bob", "dan"]), IdMap.from_values(["a", "c", "d"])
)
"""ann stays, bob swaps c and e for a and d, cid goes, dan comes; so goes item e, and comes d."""


def test_what_came_in_and_what_went_is_counted() -> None:
    counts = Change(BEFORE, AFTER).counts
    assert (counts.new_users, counts.changed_users, counts.gone_users) == (1, 1, 1)
    assert (counts.new_items, counts.gone_items) == (1, 1)
    assert (counts.new_interactions, counts.gone_interactions) == (3, 3)
    assert not counts.is_none
    assert Change(BEFORE, BEFORE).counts.is_none


def test_rows_of_changed_users_are_over_all_items_and_empty_where_there_is_no_user() -> None:
    change = Change(BEFORE, AFTER)
    assert change.users.ids(change.changed_users) == ["bob", "cid", "dan"]
    assert change.items.values.to_list() == ["a", "c", "d", "e"]
    before, after = (change.changed_rows(side).toarray().astype(int).tolist() for side in (BEFORE, AFTER))
    assert before == [[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert after == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]


def test_rows_before_are_found_for_rows_after() -> None:
    change = Change(BEFORE, AFTER)
    np.testing.assert_array_equal(change.user_rows, [0, 1, -1])
    np.testing.assert_array_equal(change.item_rows, [0, 1, -1])
    np.testing.assert_array_equal(change.changed_after, [1, 2])


def test_another_weight_is_no_change() -> None:
    heavier = Interactions(BEFORE.matrix * np.float32(3), BEFORE.users, BEFORE.items)
    assert Change(BEFORE, heavier).counts.is_none
