"""Convolutions between images, or finer grids, and a grid of code vectors: the ends of the vector-quantized models."""

from torch import Tensor, nn

from recsys_vae.images.layers.blocks import deepest, downsampling, upsampling


def to_vectors(channels: int, width: int) -> nn.Sequential:
    """Feature maps (n, channels, h, w) to vectors (n, width, h, w), place by place."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(channels, width, 1))


def encoder(channels_in: int, channels: int, halvings: int, blocks: int, *, width: int) -> nn.Sequential:
    """Images (n, channels_in, height, width) to vectors on a grid that is halved `halvings` times.

    Args:
        channels_in: of the images.
        channels: after the first halving; doubled at each further one.
        halvings: of height and width, rounded up.
        blocks: residual blocks on the grid.
        width: dimensions of a vector.
    """
    features = downsampling(channels_in, channels, halvings, blocks)
    return nn.Sequential(features, to_vectors(deepest(channels, halvings), width))


def decoder(width: int, channels: int, halvings: int, blocks: int, *, channels_out: int) -> nn.Sequential:
    """Vectors on a grid to outputs (n, channels_out, height, width), which stick out where a side was rounded up.

    A convolution over neighbouring vectors comes first: a code says little without those around it.
    """
    mixed = nn.Conv2d(width, deepest(channels, halvings), 3, padding=1)
    return nn.Sequential(mixed, upsampling(channels_out, channels, halvings, blocks))


def cropped(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (n, channels, ..., ...) without what sticks out over a height and a width."""
    return x[:, :, : size[0], : size[1]]
