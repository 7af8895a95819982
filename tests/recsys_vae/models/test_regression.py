import numpy as np

from recsys_vae.models.regression import logistic, poisson

ONES = np.ones((8, 1))


def test_a_share_is_its_log_odds() -> None:
    """Without a penalty the one weight of a constant is log(p / (1 - p)), p = 3/4."""
    found = logistic(ONES, np.array([1, 1, 1, 0] * 2, float), l2=0)
    np.testing.assert_allclose(found, [np.log(3)], rtol=1e-6)


def test_a_mean_count_is_its_logarithm() -> None:
    np.testing.assert_allclose(poisson(ONES, np.array([0, 1, 2, 5] * 2, float), l2=0), [np.log(2)], rtol=1e-6)


def test_known_weights_are_found_again() -> None:
    draw = np.random.default_rng(0)
    features = np.stack([np.ones(20_000), draw.standard_normal(20_000)], axis=1)
    x = features @ [-0.5, 1.5]
    np.testing.assert_allclose(logistic(features, 1 / (1 + np.exp(-x))), [-0.5, 1.5], atol=0.01)
    np.testing.assert_allclose(poisson(features, draw.poisson(np.exp(x)).astype(float)), [-0.5, 1.5], atol=0.03)


def test_separable_rows_have_finite_weights() -> None:
    features = np.stack([np.ones(4), [-2.0, -1.0, 1.0, 2.0]], axis=1)
    found = logistic(features, np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite(found).all()
    assert found[1] > 0


def test_large_features_do_not_overflow() -> None:
    assert np.isfinite(poisson(np.array([[1000.0], [1.0]]), np.array([3.0, 1.0]))).all()
