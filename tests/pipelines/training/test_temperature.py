import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from pipelines.training.temperature import fit_temperature
from recsys_vae.data.ids import IdMap
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.protocols import Float32Array
from tests.worlds import csr

N_ITEMS = 6


class Logits:
    """Log-probabilities by taste, the first item of the history, multiplied by something."""

    n_items = N_ITEMS

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.table = np.random.default_rng(0).normal(size=(N_ITEMS, N_ITEMS)).astype(np.float32)

    def score(self, histories: csr_array) -> Float32Array:
        return np.asarray((histories @ self.table) * np.float32(self.factor), dtype=np.float32)


def asked(n: int = 4000) -> HeldOut:
    """One item each in the history, and one drawn by the model at temperature 1 among the others."""
    rng, table = np.random.default_rng(1), Logits(1.0).table
    first = rng.integers(N_ITEMS, size=n)
    scores = table[first].astype(np.float64) + rng.gumbel(size=(n, N_ITEMS))
    scores[np.arange(n), first] = -np.inf
    users = IdMap(pl.Series([f"u{user:05}" for user in range(n)]))
    return HeldOut(users, _one_each(first), _one_each(scores.argmax(axis=1)), None)


def _one_each(columns: np.ndarray) -> csr_array:
    n = len(columns)
    return csr_array((np.ones(n, np.float32), columns, np.arange(n + 1)), shape=(n, N_ITEMS))


@pytest.mark.parametrize("factor", [0.02, 1.0, 50.0])
def test_the_temperature_undoes_the_scale_of_the_scores(factor: float) -> None:
    assert fit_temperature(Logits(factor), asked()) == pytest.approx(factor, rel=0.1)


def test_where_there_is_nothing_to_go_by_scores_stay_as_they_are() -> None:
    nobody = HeldOut(IdMap.from_values(["a"]), csr([[]], N_ITEMS), csr([[1]], N_ITEMS), None)
    assert fit_temperature(Logits(3.0), nobody) == 1.0
    assert fit_temperature(Logits(0.0), asked(10)) == 1.0
