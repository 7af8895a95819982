import pytest
import torch

from recsys_vae.errors import ConfigError
from recsys_vae.images.analysis.reconstruction import reconstruct
from recsys_vae.images.models.conditional_vae import ConditionalVAE, ConditionalVAEConfig


def conditional() -> ConditionalVAE:
    torch.manual_seed(0)
    return ConditionalVAE((1, 4, 4), ConditionalVAEConfig(hidden="8", latent=2, classes=3)).eval()


def test_reconstructions_are_pixel_means_and_equal_in_any_batches() -> None:
    model, x, y = conditional(), torch.rand(5, 1, 4, 4), torch.tensor([0, 1, 2, 0, 1])
    found = reconstruct(model, x, y, batch=2)
    torch.testing.assert_close(found, torch.sigmoid(model(x, y)))
    assert not found.requires_grad


def test_a_batch_holds_an_image() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        reconstruct(conditional(), torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64), batch=0)
