"""A causal transformer: each place of a sequence sees itself and what came before.

    x <- x + drop(attention(norm(x))),   x <- x + drop(W_2 gelu(W_1 norm(x)))

Order is told by rotating queries and keys by an angle that grows with the place (RoPE), so that attention depends on
how far two items are apart, or by a learned vector a place that is added to the input (`sasrec`).

Source: Vaswani et al., Attention Is All You Need (2017), with normalisation first (Xiong et al. 2020); rotation by Su
et al., RoFormer (2021), eq. 34.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.nn.sparse_layers import linear

BASE = 10_000.0
"""Of the wave lengths of rotation."""


class Block(nn.Module):
    """Attention over what came before, then a feed-forward layer of four times the width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_in, self.attention_out = linear(width, 3 * width), linear(width, width)
        self.forward_in, self.forward_out = linear(width, 4 * width), linear(4 * width, width)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None, drop: "Dropout") -> Tensor:
        """Shape (n, length, width), as x.

        Args:
            rotation: cosines and sines, see `rotation`; None where order is told otherwise.
        """
        x = x + drop(self.attention_out(self._attended(self.before_attention(x), rotation)))
        return x + drop(self.forward_out(functional.gelu(self.forward_in(self.before_forward(x)))))

    def _attended(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        n, length, width = x.shape
        shape = (n, length, 3, self.heads, width // self.heads)
        query, key, value = self.attention_in(x).view(shape).permute(2, 0, 3, 1, 4).unbind(0)
        if rotation is not None:
            query, key = rotated(query, *rotation), rotated(key, *rotation)
        if x.device.type == "cpu":  # whose way back takes twice as long in bfloat16
            with torch.autocast("cpu", enabled=False):
                seen = _seen(query.float(), key.float(), value.float())
        else:
            seen = _seen(query, key, value)
        return seen.transpose(1, 2).reshape(n, length, width)


def _seen(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value, is_causal=True)


class Dropout:
    """Inverted dropout whose noise comes from a generator, so that a resumed run draws what it had left.

    Args:
        rate: share that is dropped; 0 at prediction time.
        generator: source of the noise.
    """

    def __init__(self, rate: float = 0.0, generator: torch.Generator | None = None) -> None:
        self._rate, self._generator = rate, generator

    def __call__(self, x: Tensor) -> Tensor:
        """Shape as x."""
        if not self._rate:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self._rate, generator=self._generator)
        return x * kept.div_(1 - self._rate)


def rotation(length: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines by place, shape (length, width) each.

    Args:
        width: of one head, even.
    """
    frequencies = BASE ** (-torch.arange(0, width, 2, device=device) / width)
    angles = torch.outer(torch.arange(length, device=device), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotated(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """x turned by the angles of its places, shape (n, heads, length, width)."""
    first, second = x.chunk(2, dim=-1)
    return x * cosines.to(x.dtype) + torch.cat([-second, first], dim=-1) * sines.to(x.dtype)
