import numpy as np
import pytest

from recsys_vae.simulation.alias import alias_table

LAWS = {
    "one": [3.0],
    "equal": [2.0] * 7,
    "with nothing": [0.0, 1.0, 0.0, 2.0],
    "one has all": [0.0, 0.0, 5.0],
    "one has nearly all": [1e-12] * 50 + [1.0],
    "zipf": (np.arange(1, 1001) ** -1.2).tolist(),
    "drawn": np.random.default_rng(0).gamma(0.3, size=5000).tolist(),
}


@pytest.mark.parametrize("name", LAWS)
def test_buckets_hold_the_law(name):
    weights = np.array(LAWS[name])
    keeps, other = alias_table(weights)
    held = np.bincount(other, 1 - keeps.astype(np.float64), minlength=len(weights)) + keeps
    assert ((keeps >= 0) & (keeps <= 1)).all()
    np.testing.assert_allclose(held / len(weights), weights / weights.sum(), atol=2e-7)
