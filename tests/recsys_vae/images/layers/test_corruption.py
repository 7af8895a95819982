import pytest
import torch

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.images.layers.corruption import corrupt
from recsys_vae.images.models.denoising_ae import DenoisingAutoencoder, DenoisingAutoencoderConfig

GREY = torch.full((4, 1, 50, 50), 0.4)


def test_gaussian_noise_has_the_deviation_that_is_asked_for() -> None:
    noise = corrupt(GREY, "gaussian", 0.1) - GREY
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.005)
    assert float(noise.std()) == pytest.approx(0.1, abs=0.005)


def test_masking_blackens_a_share_of_the_pixels() -> None:
    noisy = corrupt(GREY, "masking", 0.3)
    assert noisy.unique().tolist() == pytest.approx([0.0, 0.4])
    assert float((noisy == 0).float().mean()) == pytest.approx(0.3, abs=0.02)


def test_salt_and_pepper_come_in_equal_shares() -> None:
    noisy = corrupt(GREY, "salt-and-pepper", 0.4)
    assert noisy.unique().tolist() == pytest.approx([0.0, 0.4, 1.0])
    assert [float((noisy == value).float().mean()) for value in (0.0, 1.0)] == pytest.approx([0.2, 0.2], abs=0.02)


def test_noise_stays_in_the_unit_interval_and_the_generator_decides_it() -> None:
    noisy = [corrupt(GREY, "gaussian", 2.0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert (float(noisy[0].min()), float(noisy[0].max())) == (0.0, 1.0)
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])


def test_noise_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="salt-and-pepper"):
        corrupt(GREY, "salt", 0.1)
    with pytest.raises(ConfigError, match="probability"):
        corrupt(GREY, "masking", 1.5)


def test_the_denoising_loss_compares_with_the_clean_image() -> None:
    model = DenoisingAutoencoder(
        (1, 8, 8), DenoisingAutoencoderConfig(channels=2, latent=3, noise="masking", level=1.0)
    )
    x = torch.rand(4, 1, 8, 8)
    expected = model.cost(model(torch.zeros_like(x)), x)  # every pixel is masked
    torch.testing.assert_close(model.loss(x).total, expected)
