import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import DataError

USERS, ITEMS = IdMap.from_values("ab"), IdMap.from_values("xyz")


def test_entries_in_any_order_become_canonical_and_duplicates_add_up() -> None:
    built = Interactions.from_rows(np.array([1, 0, 1]), np.array([2, 1, 2]), np.array([1.0, 5.0, 2.0]), USERS, ITEMS)
    assert built.matrix.toarray().tolist() == [[0, 5, 0], [0, 0, 3]]
    assert built.matrix.dtype == np.float32
    assert built.binarised().matrix.toarray().tolist() == [[0, 1, 0], [0, 0, 1]]
    assert built.item_counts().tolist() == [0, 1, 1]
    assert built.density == pytest.approx(2 / 6)


def test_order_of_the_log_does_not_change_the_fingerprint() -> None:
    rows, columns, weights = np.array([0, 1, 1]), np.array([1, 0, 2]), np.ones(3)
    first = Interactions.from_rows(rows, columns, weights, USERS, ITEMS)
    second = Interactions.from_rows(rows[::-1], columns[::-1], weights, USERS, ITEMS)
    assert first.fingerprint() == second.fingerprint()
    assert first.fingerprint() != Interactions.from_rows(rows, columns, weights * 2, USERS, ITEMS).fingerprint()


def test_matrix_and_ids_must_fit() -> None:
    with pytest.raises(DataError, match="1 rows for 2"):
        Interactions(csr_array((1, 3), dtype=np.float32), USERS, ITEMS)
