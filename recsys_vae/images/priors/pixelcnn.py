"""Gated PixelCNN: a grid of values as the product of each one's distribution given those before it in raster order.

log p(x | h) = sum over pixels i of log p(x_i | x_1 ... x_(i-1), h). Two stacks of convolutions look at what came
before: the vertical one at all rows above, the horizontal one at the pixels to the left and, through the vertical one,
above. Each layer computes y = tanh(W_f * x + V_f h) sigmoid(W_g * x + V_g h); the two together leave no blind spot.

Causality comes by shift and padding, not by masks on the weights: the input of the vertical stack is moved down by one
row, that of the horizontal stack right by one column (the paper's mask A); from there every kernel ends at its own
pixel (mask B), so that no multiplication by a masked zero is computed.

Source: van den Oord et al., Conditional Image Generation with PixelCNN Decoders (NeurIPS 2016), eq. 1 to 4, figure 2.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.errors import ConfigError


class VerticalConvolution(nn.Module):
    """A convolution over a pixel's own row and the `kernel // 2` rows above it, as wide as the kernel."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        self.reach = kernel // 2
        self.convolution = nn.Conv2d(channels_in, channels_out, (self.reach + 1, kernel), padding=(0, self.reach))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (n, channels_out, h, w)."""
        out: Tensor = self.convolution(functional.pad(x, (0, 0, self.reach, 0)))
        return out


class HorizontalConvolution(nn.Module):
    """A convolution over a pixel and the `kernel // 2` pixels to its left."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        self.reach = kernel // 2
        self.convolution = nn.Conv2d(channels_in, channels_out, (1, self.reach + 1))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (n, channels_out, h, w)."""
        out: Tensor = self.convolution(functional.pad(x, (self.reach, 0, 0, 0)))
        return out


class GatedLayer(nn.Module):
    """One layer of both stacks, with a residual connection in the horizontal one and an output for the skip path.

    Args:
        width: channels of each stack.
        kernel: odd side of the receptive field that the kernels are halves of.
        condition: channels of what the grid is conditioned on; 0 for nothing.
    """

    def __init__(self, width: int, kernel: int, condition: int = 0) -> None:
        super().__init__()
        self.vertical = VerticalConvolution(width, 2 * width, kernel)
        self.horizontal = HorizontalConvolution(width, 2 * width, kernel)
        self.across = nn.Conv2d(2 * width, 2 * width, 1)
        self.out = nn.Conv2d(width, 2 * width, 1)
        self.condition = nn.Conv2d(condition, 4 * width, 1, bias=False) if condition else None

    def forward(self, vertical: Tensor, horizontal: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Both stacks after this layer and its share of the skip path, each of shape (n, width, h, w)."""
        above = self.vertical(vertical)
        left = self.horizontal(horizontal) + self.across(above)
        if self.condition is not None:
            of_above, of_left = self.condition(condition).chunk(2, dim=1)
            above, left = above + of_above, left + of_left
        residual, skip = self.out(shedder(left)).chunk(2, dim=1)
        return shedder(above), horizontal + residual, skip


class GatedPixelCNN(nn.Module):
    """A stack of gated layers; the output at a pixel depends on no pixel at or after it in raster order.

    Channels of one pixel are seen together: given the pixels before, the outputs do not depend on each other.

    Args:
        channels_in: of the grid.
        channels_out: of the output, the parameters of each pixel's distribution.
        width: channels of each stack.
        layers: how many gated layers.
        kernel: odd side of the convolutions; 1 sees a pixel's neighbour to the left and the one above only.
        condition: channels of what the grid is conditioned on (a one-hot class, a code, a map); 0 for nothing.

    Attributes:
        reach: how many rows up and columns left of a pixel its distribution can depend on.

    Raises:
        ConfigError: an even kernel, or no layer.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, width: int, layers: int, kernel: int = 3, condition: int = 0
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0 or layers < 1 or width < 1:
            raise ConfigError(
                f"A PixelCNN has an odd kernel, and at least one layer and one channel; got kernel {kernel}, "
                f"{layers} layers, width {width}."
            )
        self.reach = layers * (kernel // 2) + 1
        self.from_above = nn.Conv2d(channels_in, width, 1)
        self.from_left = nn.Conv2d(channels_in, width, 1)
        self.layers = nn.ModuleList(GatedLayer(width, kernel, condition) for _ in range(layers))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, channels_out, 1))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Parameters of each pixel's distribution, shape (n, channels_out, h, w).

        Args:
            x: the grid, shape (n, channels_in, h, w).
            condition: shape (n, condition) for the whole grid or (n, condition, h, w) by pixel; None without one.
        """
        if condition is not None and condition.dim() == 2:
            condition = condition[:, :, None, None]
        vertical, horizontal = self.from_above(shifted_down(x)), self.from_left(shifted_right(x))
        skipped = torch.zeros_like(horizontal)
        for layer in self.layers:
            vertical, horizontal, skip = layer(vertical, horizontal, condition)
            skipped = skipped + skip
        parameters: Tensor = self.head(skipped)
        return parameters

    @torch.no_grad()
    def fill(
        self,
        x: Tensor,
        draw: Callable[[Tensor], Tensor],
        condition: Tensor | None = None,
        embed: Callable[[Tensor], Tensor] = lambda values: values,
    ) -> Tensor:
        """Draw a grid pixel by pixel, each given those before it; only the rows within reach are computed again.

        Args:
            x: where the values go, overwritten, shape (n, ..., h, w).
            draw: values of one pixel, shape (n, ...), from its parameters, shape (n, channels_out).
            condition: as in `forward`.
            embed: the network's input (n, channels_in, rows, w) from rows of values (n, ..., rows, w).
        """
        for row in range(x.shape[-2]):
            rows = slice(max(0, row - self.reach), row + 1)
            given = condition[:, :, rows] if condition is not None and condition.dim() == 4 else condition
            for column in range(x.shape[-1]):
                x[..., row, column] = draw(self(embed(x[..., rows, :]), given)[:, :, -1, column])
        return x


def shedder(x: Tensor) -> Tensor:
    """tanh of the first half of the channels times the logistic function of the second (equation 2)."""
    signal, opening = x.chunk(2, dim=1)
    return torch.tanh(signal) * torch.sigmoid(opening)


def shifted_down(x: Tensor) -> Tensor:
    """The grid moved down by one row, zeros on top."""
    return functional.pad(x, (0, 0, 1, 0))[..., :-1, :]


def shifted_right(x: Tensor) -> Tensor:
    """The grid moved right by one column, zeros on the left."""
    return functional.pad(x, (1, 0))[..., :-1]
