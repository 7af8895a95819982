import numpy as np
import pytest
import torch

from recsys_vae.errors import DataError, ModelError, UnknownNameError
from recsys_vae.images.analysis.anomaly import auroc, scores
from recsys_vae.images.analysis.bounds import negative_elbo
from recsys_vae.images.models.autoencoder import Autoencoder, AutoencoderConfig
from recsys_vae.images.models.vae import VAE, VAEConfig


class Blind(torch.nn.Module):
    """Makes 0.5 of everything."""

    config = AutoencoderConfig()

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        return torch.full_like(x, 0.5)


def test_errors_are_sums_over_pixels_and_shares_of_the_ink() -> None:
    x = torch.tensor([[1.0, 1.0], [1.0, 0.5], [0.5, 0.5]]).view(3, 1, 1, 2)
    np.testing.assert_allclose(scores(Blind(), x, by="error"), [0.5, 0.25, 0.0])
    np.testing.assert_allclose(scores(Blind(), x, by="relative-error", batch=2), [0.25, 0.2, 0.0], rtol=1e-6)
    np.testing.assert_allclose(
        scores(Blind(), 2 * x, by="scaled-error"), [4.5 / 8**0.5, 2.5 / 5**0.5, 0.5 / 2**0.5], rtol=1e-6
    )


def test_an_empty_image_is_strange_unless_it_comes_out_empty() -> None:
    assert scores(Blind(), torch.zeros(1, 1, 2, 2)).tolist() == [float("inf")]


def test_the_bound_is_that_of_the_model_and_does_not_change_from_call_to_call() -> None:
    torch.manual_seed(0)
    model = VAE((1, 4, 4), VAEConfig(hidden="8", latent=2)).eval()
    x = torch.rand(3, 1, 4, 4).round()
    found = scores(model, x, by="elbo")
    exact = sum(negative_elbo(model, x, samples=2000, generator=torch.Generator().manual_seed(1)))
    np.testing.assert_allclose(found, exact.numpy(), atol=0.3)
    np.testing.assert_array_equal(found, scores(model, x, by="elbo"))


def test_an_autoencoder_has_no_bound_and_an_unknown_score_is_named() -> None:
    model = Autoencoder((1, 4, 4), AutoencoderConfig(hidden="", latent=2))
    with pytest.raises(ModelError, match="score by an error"):
        scores(model, torch.zeros(2, 1, 4, 4), by="elbo")
    with pytest.raises(UnknownNameError, match="relative-error"):
        scores(model, torch.zeros(2, 1, 4, 4), by="relative")


def test_the_area_counts_pairs_in_the_right_order_and_ties_half() -> None:
    found = np.array([1.0, 2.0, 2.0, 3.0], dtype=np.float32)
    assert auroc(found, np.array([False, False, True, True])) == pytest.approx(3.5 / 4)
    with pytest.raises(DataError, match="some of both"):
        auroc(found, np.zeros(4, dtype=bool))
