from dataclasses import replace

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.images.models.sparse_ae import SparseAutoencoder, SparseAutoencoderConfig, bernoulli_kl, largest
from tests.recsys_vae.images.small import SHAPE, images

CONFIG = SparseAutoencoderConfig(latent=6, k=2, weight=0.5)


def model(sparsity: str) -> SparseAutoencoder:
    torch.manual_seed(0)
    return SparseAutoencoder(SHAPE, replace(CONFIG, sparsity=sparsity))


def test_top_k_leaves_the_largest_entries_and_their_gradient() -> None:
    z = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]], requires_grad=True)
    kept = largest(z, 2)
    assert kept.tolist() == [[3.0, 0.0, 2.0], [0.0, 5.0, 4.0]]
    kept.sum().backward()
    assert z.grad is not None
    assert z.grad.tolist() == [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]


def test_an_image_uses_k_units_at_most() -> None:
    assert int((model("top-k").encode(images()) > 0).sum(dim=1).max()) <= 2


def test_the_divergence_is_that_of_two_coins() -> None:
    means = torch.tensor([0.05, 0.2, 0.9])
    expected = kl_divergence(Bernoulli(torch.tensor(0.05)), Bernoulli(means))
    torch.testing.assert_close(bernoulli_kl(0.05, means), expected)
    assert torch.isfinite(bernoulli_kl(0.05, torch.tensor([0.0, 1.0]))).all()


def test_each_regularizer_is_its_formula_and_enters_by_its_weight() -> None:
    x = images()
    for sparsity in ("l1", "kl", "top-k"):
        sparse = model(sparsity)
        z, loss = sparse.encode(x), sparse.loss(x, beta=2.0)
        expected = {"l1": z.abs().sum() / 4, "kl": bernoulli_kl(0.05, z.mean(dim=0)).sum(), "top-k": torch.zeros(())}
        torch.testing.assert_close(loss.regularizer, expected[sparsity])
        torch.testing.assert_close(loss.total, loss.reconstruction + 2.0 * 0.5 * loss.regularizer)


def test_use_is_told_by_unit_and_image() -> None:
    sparse = model("l1")
    z = torch.tensor([[1.0, 0.0, 0.005, 2.0], [1.0, 0.0, 0.0, 0.0]])
    sparse.encode = lambda x, y=None: z  # type: ignore[method-assign]
    assert sparse.watch(images()) == {"share_in_use": 3 / 8, "dead_units": 2.0}


@pytest.mark.parametrize("settings", [{"weight": -1.0}, {"target": 0.0}, {"sparsity": "top-k", "k": 7}])
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(CONFIG, **settings)


def test_unknown_sparsity_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="top-k"):
        replace(CONFIG, sparsity="topk")
