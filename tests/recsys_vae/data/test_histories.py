import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix

from recsys_vae.data.histories import HistoryRows, binary_histories, check_histories, only_rows
from recsys_vae.errors import DataError
from tests.worlds import csr


def test_items_that_the_catalogue_does_not_hold_are_left_out_of_every_array() -> None:
    history = HistoryRows(np.array([4, -1, 2]), np.array([-1, 2, 4]), np.array([9, 2, 4], np.float32))
    assert not history.is_known
    known = history.known()
    assert [array.tolist() for array in known[:3]] == [[4, 2], [2, 4], [2.0, 4.0]]
    assert known.is_known
    assert known.known() is known


def test_binary_histories_count_a_repeated_item_once_and_an_unknown_one_not_at_all() -> None:
    users, items = np.array([2, 0, 2, 2, 0]), np.array([1, 2, 0, 1, -1])
    found = binary_histories(users, items, 3, 4)
    assert found.toarray().tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0]]
    check_histories(found, 4)


def test_rows_that_are_not_chosen_are_emptied() -> None:
    assert only_rows(csr([[0, 1], [2], [1]], 3), np.array([True, False, True])).toarray().tolist() == [
        [1, 1, 0],
        [0, 0, 0],
        [0, 1, 0],
    ]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (csr_matrix((1, 3), dtype=np.float32), "csr_array"),
        (csr_array((1, 3), dtype=np.float64), "float32"),
        (csr_array((1, 2), dtype=np.float32), "3"),
        (csr_array((np.ones(2, np.float32), [1, 1], [0, 2]), shape=(1, 3)), "duplicates"),
        (csr_array((-np.ones(1, np.float32), [1], [0, 1]), shape=(1, 3)), "<= 0"),
        (csr_array((np.full(1, np.nan, np.float32), [1], [0, 1]), shape=(1, 3)), "NaN"),
    ],
)
def test_histories_that_break_the_contract_are_refused(matrix: csr_array, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_histories(matrix, 3)
