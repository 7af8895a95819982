import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.data.sequences import chronological, order_of_lists, places_matrix
from recsys_vae.data.signals import SignalRules, evidence
from recsys_vae.errors import DataError
from tests.worlds import csr


def test_entries_stand_in_the_order_of_time_and_ties_by_item() -> None:
    histories = csr([[0, 2, 3], [], [1, 4]], 5)
    histories.data = np.array([1, 2, 3, 4, 5], np.float32)
    order = csr_array((np.array([3, 1, 2, 7, 7], np.float32), histories.indices, histories.indptr), shape=(3, 5))
    found = chronological(histories, order)
    assert found.indices.tolist() == [2, 3, 0, 1, 4]
    assert found.data.tolist() == [2, 3, 1, 4, 5]
    assert found.indptr.tolist() == [0, 3, 3, 5]


def test_no_history_needs_no_order_and_others_do() -> None:
    assert chronological(csr([[], []], 4), None).nnz == 0
    with pytest.raises(DataError, match="goes by the order"):
        chronological(csr([[1]], 4), None)


@pytest.mark.parametrize("rows", [[[0]], [[1, 2]], [[2]], [[1], []]])
def test_an_order_of_another_pattern_is_refused(rows: list[list[int]]) -> None:
    with pytest.raises(DataError, match="pattern of its histories"):
        chronological(csr([[1]], 4), csr(rows, 4))


def test_a_place_that_is_not_above_0_is_refused() -> None:
    order = csr([[1]], 4)
    order.data[:] = 0
    with pytest.raises(DataError, match="above 0"):
        chronological(csr([[1]], 4), order)


def test_lists_are_least_recent_first_and_the_latest_of_repeats_counts() -> None:
    order = order_of_lists([[3, 1, 3, -1], []], 5)
    assert order.toarray().tolist() == [[0, 2, 0, 3, 0], [0] * 5]


def test_places_are_those_of_the_latest_event_of_each_pair() -> None:
    users, items = np.array([0, 0, 0, 1]), np.array([2, 1, 2, 0])
    found = evidence(users, items, np.ones(4, np.float32), np.arange(4), SignalRules())
    assert places_matrix(found, (2, 3)).toarray().tolist() == [[0, 2, 3], [1, 0, 0]]
