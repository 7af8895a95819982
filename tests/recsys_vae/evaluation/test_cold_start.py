import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.data.ids import IdMap
from recsys_vae.errors import EmptyDataError
from recsys_vae.evaluation.cold_start import ColdStartUsers
from tests.worlds import csr

# ann: item 3 first, then 0, then 2; bob: item 1, then 3.
PLACES = csr_array(np.array([[2, 0, 3, 1], [0, 1, 0, 2]], dtype=np.float32))
METADATA = csr([[0], [1]], 2)
USERS = IdMap.from_values(["ann", "bob"])
NEWCOMERS = ColdStartUsers.after_the_first(USERS, PLACES, METADATA, shown=2, least=1)


def test_the_first_items_are_shown_and_the_targets_stay_the_same() -> None:
    for length, shown in ((0, [[0, 0, 0, 0], [0, 0, 0, 0]]), (1, [[0, 0, 0, 1], [0, 1, 0, 0]])):
        asked = NEWCOMERS.asked(length)
        assert asked.histories.toarray().tolist() == shown
        assert asked.targets.toarray().tolist() == [[0, 0, 1, 0], [0, 0, 0, 0]]
    assert NEWCOMERS.asked(1).metadata is not None


def test_all_lengths_are_asked_as_if_of_different_users() -> None:
    asked = NEWCOMERS.asked_at_all((2, 0))
    assert asked.users.values.to_list() == ["0000 ann", "0000 bob", "0001 ann", "0001 bob"]
    assert entries_of(asked.histories) == [[], [], [0, 3], [1, 3]]
    assert entries_of(asked.targets) == [[2], [], [2], []]
    assert asked.metadata is not None
    assert entries_of(asked.metadata) == [[0], [1], [0], [1]]


def test_users_with_too_few_items_can_be_left_out() -> None:
    found = ColdStartUsers.after_the_first(USERS, PLACES, METADATA, shown=2, least=3)
    assert found.users.values.to_list() == ["ann"]
    with pytest.raises(EmptyDataError, match="has 4 items"):
        ColdStartUsers.after_the_first(USERS, PLACES, METADATA, shown=2, least=4)


def entries_of(matrix: csr_array) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in matrix.toarray()]
