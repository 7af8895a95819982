"""Layers that several image models are made of: dense stacks, strided convolutions and their mirror.

An encoder takes images (n, channels, height, width) to vectors (n, width_out); a decoder takes vectors (n, width_in) to
outputs of the images' shape. What the vectors mean (a code, mean and variance of one) is the model's affair.
"""

import math
from itertools import pairwise

from torch import Tensor, nn

from recsys_vae.errors import ConfigError
from recsys_vae.images.layers.checks import Shape


def widths(text: str) -> list[int]:
    """Widths of hidden layers from a setting such as `128-64`; none from an empty one.

    Raises:
        ConfigError: not whole numbers above 0, joined by hyphens.
    """
    parts = text.split("-") if text else []
    if not all(part.isdigit() and int(part) for part in parts):
        raise ConfigError(f"Widths of hidden layers are whole numbers joined by hyphens, as 128-64; got {text!r}.")
    return [int(part) for part in parts]


def mlp(sizes: list[int], activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers from `sizes[0]` to `sizes[-1]`, an activation between each two of them, none after the last."""
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(sizes):
        layers += [nn.Linear(width_in, width_out), activation()]
    return nn.Sequential(*layers[:-1])


def dense_encoder(shape: Shape, hidden: list[int], width_out: int) -> nn.Sequential:
    """A stack of linear layers on the flattened image."""
    return nn.Sequential(nn.Flatten(), mlp([math.prod(shape), *hidden, width_out]))


def dense_decoder(shape: Shape, hidden: list[int], width_in: int) -> nn.Sequential:
    """Its mirror; `hidden` in the order of the encoder."""
    return nn.Sequential(mlp([width_in, *hidden[::-1], math.prod(shape)]), nn.Unflatten(1, shape))


class ResidualBlock(nn.Module):
    """x + conv1x1(relu(conv3x3(relu(x)))), as in van den Oord et al. 2017, section 4.1."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape (n, channels, height, width), as the input's."""
        out: Tensor = x + self.branch(x)
        return out


def downsampling(channels_in: int, channels: int, halvings: int, residual_blocks: int = 0) -> nn.Sequential:
    """Convolutions that halve height and width, rounded up: channels, then twice that, four times ...; then residual
    blocks. Ends in `deepest(channels, halvings)` channels, without an activation.
    """
    layers: list[nn.Module] = []
    for index in range(halvings):
        width = channels << index
        layers += [nn.Conv2d(channels_in, width, 3, stride=2, padding=1), nn.ReLU()]
        channels_in = width
    return nn.Sequential(*layers[:-1], *(ResidualBlock(channels_in, channels) for _ in range(residual_blocks)))


def upsampling(channels_out: int, channels: int, halvings: int, residual_blocks: int = 0) -> nn.Sequential:
    """The mirror: residual blocks, then transposed convolutions that double height and width."""
    width = deepest(channels, halvings)
    layers: list[nn.Module] = [ResidualBlock(width, channels) for _ in range(residual_blocks)]
    for index in reversed(range(halvings)):
        target = channels << (index - 1) if index else channels_out
        layers += [nn.ReLU(), nn.ConvTranspose2d(width, target, 4, stride=2, padding=1)]
        width = target
    return nn.Sequential(*layers)


def deepest(channels: int, halvings: int) -> int:
    """Channels where height and width are smallest."""
    return channels << (halvings - 1)


def grid_of(shape: Shape, halvings: int) -> tuple[int, int]:
    """Height and width after so many halvings, each rounded up.

    Raises:
        ConfigError: no halving, or more of them than the image has room for.
    """
    _, height, width = shape
    if halvings < 1 or 2 ** (halvings - 1) >= min(height, width):
        raise ConfigError(
            f"Images of {height} x {width} cannot be halved {halvings} times: choose at least 1, and fewer."
        )
    return math.ceil(height / 2**halvings), math.ceil(width / 2**halvings)


class ConvEncoder(nn.Module):
    """Strided convolutions, then one linear layer."""

    def __init__(self, shape: Shape, channels: int, halvings: int, width_out: int, residual_blocks: int = 0) -> None:
        super().__init__()
        height, width = grid_of(shape, halvings)
        self.grid = downsampling(shape[0], channels, halvings, residual_blocks)
        features = deepest(channels, halvings) * height * width
        self.head = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(features, width_out))

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, height, width) to vectors (n, width_out)."""
        out: Tensor = self.head(self.grid(x))
        return out


class ConvDecoder(nn.Module):
    """One linear layer, then transposed convolutions; what sticks out over the image is cut off."""

    def __init__(self, shape: Shape, channels: int, halvings: int, width_in: int, residual_blocks: int = 0) -> None:
        super().__init__()
        self.shape = shape
        start = (deepest(channels, halvings), *grid_of(shape, halvings))
        self.head = nn.Sequential(nn.Linear(width_in, math.prod(start)), nn.Unflatten(1, start))
        self.grid = upsampling(shape[0], channels, halvings, residual_blocks)

    def forward(self, z: Tensor) -> Tensor:
        """Vectors (n, width_in) to outputs of the images' shape."""
        _, height, width = self.shape
        out: Tensor = self.grid(self.head(z))[:, :, :height, :width]
        return out
