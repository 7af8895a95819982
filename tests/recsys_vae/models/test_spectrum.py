import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from recsys_vae.models.spectrum import leading_spectrum
from tests.worlds import csr


def test_two_separate_tastes_have_one_vector_each() -> None:
    """Three users share items 0 and 1, two share item 2: X^T X is [[3, 3], [3, 3]] beside [2]."""
    values, vectors = leading_spectrum(csr([[0, 1], [0, 1], [0, 1], [2], [2]], 3), 3)
    np.testing.assert_allclose(values, [6.0, 2.0])  # the third eigenvalue is 0 and left out
    np.testing.assert_allclose(np.abs(vectors), [[0.5**0.5, 0.0], [0.5**0.5, 0.0], [0.0, 1.0]], atol=1e-7)


@pytest.mark.parametrize("shape", [(300, 200), (200, 300)])
@pytest.mark.parametrize("rank", [12, 60], ids=["searched", "whole"])
def test_agrees_with_the_dense_decomposition(shape: tuple[int, int], rank: int) -> None:
    entries = random_array(shape, density=0.05, rng=np.random.default_rng(0))
    popularity = 1.0 / np.sqrt(1.0 + np.arange(shape[1]))
    matrix = csr_array(entries * popularity, dtype=np.float32)
    values, vectors = leading_spectrum(matrix, rank)
    expected = np.linalg.svd(matrix.toarray(), compute_uv=False)[:rank] ** 2
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(rank), atol=1e-5)
    gram = matrix.T @ matrix
    np.testing.assert_allclose(gram @ vectors, vectors * values, atol=1e-3 * values[0])


def test_a_space_that_is_wider_than_the_rank_of_the_matrix_holds_its_spectrum() -> None:
    """A large matrix of rank 3: the search runs out of directions, and what it adds then must not spoil the rest."""
    tastes = np.repeat(np.eye(3, dtype=np.float32), [50, 30, 20], axis=0)
    values, vectors = leading_spectrum(csr_array(np.repeat(tastes, 100, axis=1)), 8)
    np.testing.assert_allclose(values, [5000.0, 3000.0, 2000.0], rtol=1e-5)
    assert vectors.shape == (300, 3)


def test_converged_values_are_exact_to_more_than_single_precision() -> None:
    matrix = csr_array(random_array((300, 200), density=0.05, rng=np.random.default_rng(1)), dtype=np.float32)
    exact = np.linalg.svd(matrix.toarray().astype(np.float64), compute_uv=False) ** 2
    np.testing.assert_allclose(leading_spectrum(matrix, 12)[0][0], exact[0], rtol=1e-10)


def test_values_far_apart_leave_the_vectors_orthonormal() -> None:
    """The larger the first eigenvalue is beside the others, the faster rounding grows along its vector."""
    matrix = csr_array(random_array((300, 200), density=0.05, rng=np.random.default_rng(2)), dtype=np.float32)
    matrix.data *= np.where(matrix.indices == 3, np.float32(1000), np.float32(1))
    values, vectors = leading_spectrum(matrix, 12)
    exact = np.linalg.svd(matrix.toarray().astype(np.float64), compute_uv=False)[:12] ** 2
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(12), atol=1e-5)
    np.testing.assert_allclose(values[:4], exact[:4], rtol=1e-4)


def test_nothing_has_no_spectrum() -> None:
    values, vectors = leading_spectrum(csr([[], []], 4), 2)
    assert values.shape == (0,)
    assert vectors.shape == (4, 0)
