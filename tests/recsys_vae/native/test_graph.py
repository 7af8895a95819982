import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.models.sharpening import _largest
from recsys_vae.native.graph import GramLoops, Scales, SparseProduct
from recsys_vae.protocols import Float32Array

pytestmark = pytest.mark.usefixtures("compiled")
WEIGHTS = [0.5, -1.5, 0.0, 0.25]


def sparse(n: int = 53) -> csr_array:
    """Rows of all lengths from none to many, shape (40, n); column 7 is empty."""
    draw = np.random.default_rng(0)
    dense = draw.standard_normal((40, n)) * (draw.random((40, n)) < np.linspace(0, 0.9, 40)[:, None])
    dense[:, 7] = 0
    return csr_array(dense.astype(np.float32) / 8)


def scaled(n: int = 53) -> tuple[csr_array, Scales]:
    """The same places, with entries that are products of factors of their rows and columns."""
    X, draw = sparse(n), np.random.default_rng(1)
    rows, columns = draw.random(40) + 0.5, draw.random(n) + 0.5
    X.data[:] = np.repeat(rows, np.diff(X.indptr)) * columns[X.indices] / 8
    return X, (rows / 8, columns)


def polynomial(X: csr_array, weights: list[float]) -> np.ndarray:
    P = (X.T @ X).toarray().astype(np.float64)
    found: np.ndarray = sum(weight * np.linalg.matrix_power(P, power) for power, weight in enumerate(weights))
    return found


@pytest.mark.parametrize("width", [1, 16, 37])
@pytest.mark.parametrize("with_scales", [False, True])
def test_a_polynomial_times_columns(width: int, with_scales: bool) -> None:
    X, scales = scaled() if with_scales else (sparse(), None)
    dense = np.random.default_rng(1).standard_normal((53, width)).astype(np.float32)
    found, expected = GramLoops(X, scales).polynomial(WEIGHTS, dense), polynomial(X, WEIGHTS) @ dense
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("width", [1, 8, 21])
def test_a_sparse_product_in_double_precision(width: int) -> None:
    X, dense = sparse(), np.random.default_rng(1).standard_normal((53, width))
    np.testing.assert_allclose(SparseProduct(X) @ dense, X.toarray().astype(np.float64) @ dense, atol=1e-14)


def entries(
    X: csr_array, weights: list[float], vectors: Float32Array, taken: Float32Array, lean: Float32Array
) -> np.ndarray:
    """Those that the largest are sought among, by dense products in float64."""
    P = (X.T @ X).toarray().astype(np.float64)
    found: np.ndarray = P @ polynomial(X, weights) - (vectors.astype(np.float64) * taken) @ vectors.T
    return found / lean[:, None] * lean


@pytest.mark.parametrize("with_scales", [False, True])
@pytest.mark.parametrize(("n", "kept"), [(53, 1), (53, 20), (53, 53), (1500, 30)])
@pytest.mark.parametrize("weights", [[1.0], WEIGHTS])
def test_the_largest_entries_of_rows(with_scales: bool, n: int, kept: int, weights: list[float]) -> None:
    """At 1,500 columns there is a sample, rows keep fewer than they find, and a group is not the whole."""
    X, scales = scaled(n) if with_scales else (sparse(n), None)
    draw = np.random.default_rng(2)
    vectors = (draw.standard_normal((n, 11)) / 8).astype(np.float32)
    taken, lean = draw.random(11).astype(np.float32), (draw.random(n) + 0.5).astype(np.float32)
    expected = entries(X, weights, vectors, taken, lean)
    columns, values = GramLoops(X, scales, vectors).neighbours(weights, vectors, taken, lean, kept)
    columns, values = columns.reshape(n, kept), values.reshape(n, kept)
    assert (np.diff(columns, axis=1) > 0).all()
    near = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(values, np.take_along_axis(expected, columns, axis=1), atol=near)
    least = np.sort(np.abs(expected), axis=1)[:, -kept]
    assert (np.abs(values).min(axis=1) >= least - near).all()


def test_of_equals_the_first_are_kept() -> None:
    """Integer-valued: P counts users in common, so that most entries are equal, and many 0."""
    draw = np.random.default_rng(3)
    X = csr_array((draw.random((30, 700)) < 0.05).astype(np.float32))
    none = np.zeros((700, 1), np.float32)
    found, _ = GramLoops(X).neighbours([1.0], none, none[0], none[:, 0] + 1, 40)
    np.testing.assert_array_equal(found.reshape(700, 40), _largest((X.T @ X).toarray(), 40))


def test_rows_whose_sample_promises_too_much_are_sought_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample are all large entries: what it lets through is less than is to be kept."""
    dense = np.full((4, 4096), 0.25, np.float32)
    popular = np.random.default_rng(0).permutation(4096)[:512]
    dense[:, popular] = 1
    X, none = csr_array(dense), np.zeros((4096, 1), np.float32)
    loops = GramLoops(X)
    sample = np.concatenate([popular, np.setdiff1d(np.arange(4096), popular)])
    monkeypatch.setattr("recsys_vae.native.graph._ordered", lambda counts, tastes: np.arange(len(counts)))
    monkeypatch.setattr("recsys_vae.native.graph._with_sample", lambda columns, sampled: sample)
    loops = GramLoops(X)
    found, _ = loops.neighbours([1.0], none, none[0], none[:, 0] + 1, 1000)
    np.testing.assert_array_equal(found.reshape(4096, 1000), _largest((X.T @ X).toarray(), 1000))


def test_it_is_the_same_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    X, scales = scaled(1500)
    vectors = (np.random.default_rng(2).standard_normal((1500, 5)) / 8).astype(np.float32)
    found = []
    for threads in (1, 3):
        monkeypatch.setattr("recsys_vae.native.graph.threads", lambda threads=threads: threads)
        found.append(GramLoops(X, scales).neighbours(WEIGHTS, vectors, vectors[0], vectors[:, 0] * 0 + 1, 30))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
