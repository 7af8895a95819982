from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from recsys_vae.models import catalog
from recsys_vae.models.variational import Variational
from recsys_vae.nn.gaussians import DiagonalGaussian
from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.training import loop
from recsys_vae.training.activity import Activity, measure_activity, sample_histories
from recsys_vae.training.config import TrainingConfig
from tests.worlds import SMALL, csr, two_tastes, untrained

CONFIG = TrainingConfig(epochs=4, batch_size=8, learning_rate=0.01, device="cpu", precision="float32")


class Told(Variational):
    """Its posterior's mean is the history itself, weighed by latent; the deviation is 1."""

    def posterior(self, rows: SparseRows) -> DiagonalGaussian:
        dense = torch.zeros(len(rows), 3).index_put_((rows.row_numbers(), rows.indices), rows.values)
        means = dense * torch.tensor([1.0, 0.1, 0.0])
        return DiagonalGaussian(means, torch.zeros_like(means))

    def hidden(self, rows: SparseRows) -> torch.Tensor:
        raise NotImplementedError

    config = None
    loss = hidden  # type: ignore[assignment]


def test_measured_by_hand() -> None:
    """Two users, an item each: means (1, 0, 0) and (0, .1, 0); variances 1/4, .0025 and 0; KL is mean squared / 2."""
    found = measure_activity(Told(3, 1), csr([[0], [1]], 3))
    assert found.active_units == 1
    assert found.kl.tolist() == pytest.approx([0.25, 0.0025, 0.0])


def test_the_summary_of_a_vector() -> None:
    found = Activity(2, np.array([3.0, 0.0, 1.0, 2.0, 0.0], dtype=np.float32))
    assert found.summary() == {
        "active_units": 2.0,
        "latent_kl_mean": pytest.approx(1.2),
        "latent_kl_median": 1.0,
        "latent_kl_max": 3.0,
    }


def test_a_collapsed_posterior_has_no_active_unit() -> None:
    model = untrained("mult-vae", 12)
    assert isinstance(model, Variational)
    torch.nn.init.zeros_(model.encoder_out.weight)
    torch.nn.init.zeros_(model.encoder_out.bias)
    found = measure_activity(model, two_tastes().matrix)
    assert found.active_units == 0
    assert (found.kl == 0).all()


@pytest.mark.parametrize(("n_users", "n_sampled"), [(40, 40), (1_000, 200), (5_000, 500), (30_000, 2_000)])
def test_a_tenth_of_the_users_is_watched_within_bounds(n_users: int, n_sampled: int) -> None:
    matrix = csr_array((np.ones(n_users), np.arange(n_users), np.arange(n_users + 1)), shape=(n_users, n_users))
    sampled = sample_histories(matrix, seed=3)
    assert sampled.shape == (n_sampled, n_users)
    assert len(np.unique(sampled.indices)) == n_sampled  # each user once
    assert (sampled.indices == sample_histories(matrix, seed=3).indices).all()
    if n_sampled < n_users:
        assert (sampled.indices != sample_histories(matrix, seed=4).indices).any()


def test_users_without_a_history_are_not_watched() -> None:
    matrix = csr([[], [0], [], [1]], 2)
    assert sample_histories(matrix).indices.tolist() == [0, 1]


@pytest.mark.parametrize("name", ["mult-vae", "rec-vae", "h-vamp"])
def test_it_is_told_every_epoch_and_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = untrained(name, 12)
    assert isinstance(model, Variational)
    result = loop.train(model, two_tastes().matrix, CONFIG)
    latents = result.latent_kl.shape[1]
    assert result.latent_kl.shape == (4, {"mult-vae": 4, "rec-vae": 4, "h-vamp": 8}[name])
    for record, kl in zip(result.history, result.latent_kl, strict=True):
        assert 0 <= record["active_units"] <= latents
        assert record["latent_kl_max"] == kl.max()
    assert (result.latent_kl[-1] == measure_activity(model, sample_histories(two_tastes().matrix, 42)).kl).all()

    silent = Activity(0, np.zeros(1, np.float32))
    monkeypatch.setattr(loop, "measure_activity", lambda *_: silent)
    unwatched = untrained(name, 12)
    assert isinstance(unwatched, Variational)
    loop.train(unwatched, two_tastes().matrix, CONFIG)
    for tensor, value in model.state_dict().items():
        assert torch.equal(unwatched.state_dict()[tensor], value), tensor


def test_a_strong_prior_makes_latents_collapse_and_free_bits_keep_them_up() -> None:
    """What the numbers are for: the same model at a KL weight of 20, without and with half a nat free a latent."""
    found = {}
    for free_bits in (0.0, 0.5):
        torch.manual_seed(0)
        model = catalog.create("mult-vae", 12, SMALL["mult-vae"])
        assert isinstance(model, Variational)
        config = replace(CONFIG, epochs=60, kl_weight=20.0, kl_anneal=0.0, free_bits=free_bits)
        found[free_bits] = loop.train(model, two_tastes().matrix, config).history[-1]
    assert found[0.0]["active_units"] == 0
    assert found[0.5]["active_units"] > 0
    assert found[0.5]["latent_kl_mean"] > 10 * found[0.0]["latent_kl_mean"]
