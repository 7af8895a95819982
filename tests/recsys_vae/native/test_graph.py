import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.models.sharpening import _largest
from recsys_vae.native.graph import GramLoops, largest_entries
from recsys_vae.protocols import Float32Array

pytestmark = pytest.mark.usefixtures("compiled")
WEIGHTS = [0.5, -1.5, 0.0, 0.25]


def sparse() -> csr_array:
    """Rows of all lengths from none to many, shape (40, 53); column 7 is empty."""
    draw = np.random.default_rng(0)
    dense = draw.standard_normal((40, 53)) * (draw.random((40, 53)) < np.linspace(0, 0.9, 40)[:, None])
    dense[:, 7] = 0
    return csr_array(dense.astype(np.float32) / 8)


def polynomial(X: csr_array) -> np.ndarray:
    P = (X.T @ X).toarray().astype(np.float64)
    found: np.ndarray = sum(weight * np.linalg.matrix_power(P, power) for power, weight in enumerate(WEIGHTS))
    return found


@pytest.mark.parametrize("width", [1, 16, 37])
def test_a_polynomial_times_columns(width: int) -> None:
    X = sparse()
    dense = np.random.default_rng(1).standard_normal((53, width)).astype(np.float32)
    found, expected = GramLoops(X, csr_array(X.T)).polynomial(WEIGHTS, dense), polynomial(X) @ dense
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("rows", [range(53), range(5, 8), range(20, 40)])
def test_rows_of_a_polynomial(rows: range) -> None:
    X = sparse()
    found = GramLoops(X, csr_array(X.T)).rows(WEIGHTS, rows)
    expected = ((X.T @ X) @ polynomial(X))[rows.start : rows.stop]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def drawn(n: int) -> Float32Array:
    return np.random.default_rng(n).standard_normal((4, n)).astype(np.float32)


@pytest.mark.parametrize("rows", [drawn(1000), np.round(drawn(1000)), np.zeros((2, 50), np.float32), drawn(3)])
@pytest.mark.parametrize("kept", [1, 3, 100])
def test_the_largest_entries_and_of_equals_the_first(rows: Float32Array, kept: int) -> None:
    kept = min(kept, rows.shape[1])
    ones = np.ones(rows.shape[1], np.float32)
    columns, values = largest_entries(rows, ones, ones[:1].repeat(len(rows)), kept)
    np.testing.assert_array_equal(columns, _largest(rows, kept))
    np.testing.assert_array_equal(values, np.take_along_axis(rows, columns, axis=1))


def test_entries_are_compared_as_scaled() -> None:
    rows, scale = np.array([[3, -2, 1], [1, 1, 1]], np.float32), np.array([1, 2, 1], np.float32)
    columns, values = largest_entries(rows, scale, np.array([1, 0.5], np.float32), 1)
    np.testing.assert_array_equal(columns, [[1], [1]])
    np.testing.assert_array_equal(values, [[-4], [1]])


def test_a_row_whose_large_entries_the_sample_misses() -> None:
    """Every 16th entry is looked at to guess the border: here these are the largest, and too few."""
    rows = np.ones((1, 4096), np.float32)
    rows[0, ::16] = 9
    columns, _ = largest_entries(rows, rows[0] * 0 + 1, np.ones(1, np.float32), 1000)
    np.testing.assert_array_equal(columns, _largest(rows, 1000))
