import numpy as np
import pytest

from recsys_vae.errors import ConfigError
from recsys_vae.models.ease import EASE, EASEConfig
from recsys_vae.models.edlae import EDLAE, EDLAEConfig
from tests.worlds import csr, two_tastes


def weights(model: EASE | EDLAE) -> np.ndarray:
    model.fit(two_tastes().matrix)
    return model.tensors()["weights"]


def test_two_items_are_solved_by_hand() -> None:
    """Items 0 and 1 have 3 and 2 users, 2 of them in common: B_01 = 2 / (3 + 3 + 1) and B_10 = 2 / (2 + 2 + 1)."""
    model = EDLAE(2, EDLAEConfig(dropout=0.5, l2=1.0))
    model.fit(csr([[0, 1], [0, 1], [0]], 2))
    np.testing.assert_allclose(model.score(csr([[0], [1]], 2)), [[0, 2 / 7], [2 / 5, 0]], rtol=1e-6)


def test_equals_the_regression_on_many_droppings() -> None:
    """Each item regressed on the others, half of whose entries are dropped and the rest doubled, 4,000 times."""
    X, rng = two_tastes(n_users=20).matrix.toarray().astype(np.float64), np.random.default_rng(0)
    gram, target = np.zeros((12, 12)), np.zeros((12, 12))
    for _ in range(4_000):
        dropped = X * rng.integers(0, 2, X.shape) * 2.0
        gram += dropped.T @ dropped / 4_000
        target += dropped.T @ X / 4_000
    model = EDLAE(12, EDLAEConfig(dropout=0.5, l2=1.0))
    model.fit(two_tastes(n_users=20).matrix)
    B = model.tensors()["weights"]
    for item in range(12):
        others = np.delete(np.arange(12), item)
        solution = np.linalg.solve(gram[np.ix_(others, others)] + np.eye(11), target[others, item])
        np.testing.assert_allclose(B[others, item], solution, atol=0.02)


def test_without_dropout_it_is_ease() -> None:
    np.testing.assert_array_equal(
        weights(EDLAE(12, EDLAEConfig(dropout=0.0, l2=3.0))), weights(EASE(12, EASEConfig(3.0)))
    )


@pytest.mark.parametrize("settings", [{"dropout": 1.0}, {"dropout": -0.1}, {"l2": 0.0}])
def test_senseless_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        EDLAEConfig(**settings)
