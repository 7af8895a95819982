import numpy as np
import pytest

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models.ease import EASE, EASEConfig
from tests.worlds import csr, two_tastes


def test_solves_the_constrained_ridge_regression() -> None:
    """B of eq. 8 equals, column by column, the ridge regression of each item on all others."""
    X = two_tastes().matrix.toarray().astype(np.float64)
    model = EASE(12, EASEConfig(l2=3.0))
    model.fit(two_tastes().matrix)
    B = model.tensors()["weights"]
    for item in range(12):
        others = np.delete(np.arange(12), item)
        A = X[:, others]
        solution = np.linalg.solve(A.T @ A + 3.0 * np.eye(11), A.T @ X[:, item])
        np.testing.assert_allclose(B[others, item], solution, atol=1e-5)
    assert (B.diagonal() == 0).all()


def test_weights_of_the_histories_do_not_matter() -> None:
    model = EASE(12, EASEConfig(l2=3.0))
    world = two_tastes().matrix
    model.fit(world * np.float32(4))
    once = model.score(csr([[0, 1]], 12))
    model.fit(world)
    np.testing.assert_array_equal(once, model.score(csr([[0, 1]], 12) * np.float32(2)))


def test_unfitted_and_unregularised_are_refused() -> None:
    with pytest.raises(DataError, match="fit first"):
        EASE(3, EASEConfig()).score(csr([[0]], 3))
    with pytest.raises(ConfigError, match="above 0"):
        EASEConfig(l2=0)
