"""How far a picture is from the one it should be: mean squared error and peak signal-to-noise ratio."""

from torch import Tensor

from recsys_vae.errors import DataError


def squared_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Squared error of each image, averaged over its pixels and channels, shape (n,).

    Args:
        found, wanted: images, shape (n, c, h, w).

    Raises:
        DataError: the shapes differ.
    """
    if found.shape != wanted.shape:
        raise DataError(
            f"Images are compared pixel by pixel, got shapes {tuple(found.shape)} and {tuple(wanted.shape)}."
        )
    return (found - wanted).square().flatten(1).mean(dim=1)


def psnr(found: Tensor, wanted: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, shape (n,): 10 log10(1 / squared error), pixels in [0, 1].

    An image without error has infinite dB: average errors, or leave those out, where that can happen.

    Raises:
        DataError: as `squared_error`.
    """
    return -10 * squared_error(found, wanted).log10()
