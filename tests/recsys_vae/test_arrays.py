import numpy as np
import pytest

from recsys_vae.arrays import check_finite, floats_of, sparse_of
from recsys_vae.errors import DataError
from tests.worlds import csr

MATRIX = csr([[0, 2], [], [1]], 3)
PARTS = {"m.data": MATRIX.data, "m.indices": MATRIX.indices.astype(np.int64), "m.indptr": MATRIX.indptr}


def test_a_matrix_comes_back_as_it_was_kept() -> None:
    assert (sparse_of(PARTS, "m", (3, 3)).toarray() == MATRIX.toarray()).all()
    assert sparse_of({f"m.{k}": getattr(csr([], 3), k) for k in ("data", "indices", "indptr")}, "m", (0, 3)).nnz == 0


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("indices", np.array([0, 3, 1]), "names columns 0 to 3, expected 0 to 2"),
        ("indices", np.array([0, -1, 1]), "names columns -1"),
        ("indices", np.array([0, 2**40, 1]), "expected 0 to 2"),
        ("indices", np.array([0.0, 2.0, 1.0]), "expected a list of integers"),
        ("indices", np.array([0, 2]), "no matrix of 3 rows"),
        ("indptr", np.array([0, 2, 2, 4]), "no matrix of 3 rows"),
        ("indptr", np.array([1, 2, 2, 3]), "no matrix of 3 rows"),
        ("indptr", np.array([0, 3, 2, 3]), "does not ascend"),
        ("indptr", np.array([0, 2**40, 2, 3]), "does not ascend"),
        ("indptr", np.array([[0, 2, 2, 3]]), "expected a list of integers"),
        ("data", np.array([1.0, np.nan, 1.0]), "not finite"),
        ("data", np.array([1, 1, 1]), "expected floats"),
        ("data", np.array([1.0, 1.0]), "no matrix of 3 rows"),
    ],
)
def test_parts_that_make_no_matrix_are_refused(part: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        sparse_of(PARTS | {f"m.{part}": value}, "m", (3, 3))


def test_tensors_that_lack_or_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match=r"no tensor 'm\.indptr'"):
        sparse_of({name: value for name, value in PARTS.items() if name != "m.indptr"}, "m", (3, 3))
    with pytest.raises(DataError, match=r"float32 of shape \(3,\), expected floats of shape \(any, 2\)"):
        floats_of(PARTS, "m.data", (None, 2))
    with pytest.raises(DataError, match="1 numbers that are not finite"):
        floats_of({"x": np.array([1e300, 1.0])}, "x", (2,))
    check_finite("integers", np.array([2**60]))
