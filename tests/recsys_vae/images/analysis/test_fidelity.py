import pytest
import torch

from recsys_vae.errors import DataError
from recsys_vae.images.analysis.fidelity import psnr, squared_error


def test_a_tenth_of_the_range_on_every_pixel_is_twenty_decibels() -> None:
    wanted = torch.full((2, 3, 4, 4), 0.5)
    found = wanted + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    torch.testing.assert_close(squared_error(found, wanted), torch.tensor([1e-2, 1e-4]), rtol=1e-4, atol=0)
    torch.testing.assert_close(psnr(found, wanted), torch.tensor([20.0, 40.0]), rtol=1e-4, atol=0)


def test_no_error_is_infinite_decibels() -> None:
    assert psnr(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item() == float("inf")


def test_images_of_different_shape_are_not_compared() -> None:
    with pytest.raises(DataError, match="pixel by pixel"):
        psnr(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 5))
