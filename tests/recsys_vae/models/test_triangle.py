import numpy as np
import pytest
from scipy.sparse import csr_array

from recsys_vae.errors import DataError
from recsys_vae.models import triangle
from recsys_vae.models.triangle import Triangle


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triangle, "BLOCK", 8)
    monkeypatch.setattr(triangle, "TILE", 3)


def sparse(n: int) -> csr_array:
    """Whole numbers, so that every product is exact, shape (60, n)."""
    rng = np.random.default_rng(n)
    return csr_array((rng.random((60, n)) < 0.2) * rng.integers(1, 4, (60, n)).astype(np.float32))


@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 17, 31, 40])
def test_it_is_inverted_where_it_lies(n: int) -> None:
    """Sizes below, at and beside whole blocks: the rows in float32 must not meet rows that are still to be spread."""
    X = sparse(n)
    held = Triangle.gram(X)
    gram = (X.T @ X).toarray().astype(np.float64)
    np.testing.assert_array_equal(held.diagonal(), gram.diagonal())
    held.add_to_diagonal(np.arange(1.0, n + 1))
    held.invert()
    inverse = np.linalg.inv(gram + np.diag(np.arange(1.0, n + 1)))
    np.testing.assert_allclose(held.diagonal(), inverse.diagonal(), rtol=1e-12)
    scale = np.linspace(1, 2, n)
    np.testing.assert_allclose(held.spread(scale), inverse * scale, rtol=2e-6, atol=1e-7 * np.abs(inverse).max())


def test_it_takes_the_memory_of_the_whole_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triangle, "BLOCK", 256)
    for n in (3_000, 40_000):
        assert Triangle.needed_bytes(n) == 4 * n * (n + 6 * 256)
    assert Triangle.needed_bytes(40_000) < 1.3 * 4 * 40_000**2
    held = Triangle(3_000)
    assert held._memory.nbytes + held._scratch.nbytes < Triangle.needed_bytes(3_000)


def test_what_is_not_positive_definite_is_refused() -> None:
    held = Triangle.gram(sparse(20))
    held.add_to_diagonal(np.full(20, -1000.0))
    with pytest.raises(DataError, match="raise l2"):
        held.invert()


def test_nothing_is_nothing() -> None:
    held = Triangle.gram(sparse(0))
    held.invert()
    assert held.spread(held.diagonal()).shape == (0, 0)
