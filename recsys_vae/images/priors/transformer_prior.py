"""A prior over codes by a small causal Transformer: the grids one after the other as one sequence.

Position i is fed the code before it, the first one a vector of the class (or of the start), and gives the distribution
of code i by attention to all positions up to it. Layers normalise before each branch (pre-norm). Sampling keeps the
keys and values of the positions that are done, so that a new code costs one position.

Source: Vaswani et al., Attention Is All You Need (2017), section 3; pre-norm as in Radford et al., GPT-2 (2019); over
codes of images: Esser et al., Taming Transformers for High-Resolution Image Synthesis (2021), section 3.2.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.errors import ConfigError
from recsys_vae.images.layers.code_layout import CodeLayout
from recsys_vae.images.priors.code_distribution import CodeDistribution, drawn
from recsys_vae.images.priors.prior_config import PriorConfig

Past = tuple[Tensor, Tensor]
"""Keys and values of the positions before, each of shape (n, heads, positions, width / heads)."""


class CausalBlock(nn.Module):
    """Attention to the past, then a layer at each position; each is added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_layer = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mixed = nn.Linear(width, width)
        self.layer = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
        """Positions after this block, shape (n, positions, width), and the keys and values up to them.

        Args:
            x: all positions, or with a past a single new one.
            past: of the positions before.
        """
        projected = self.queries_keys_values(self.before_attention(x))
        queries, keys, values = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        found = attention(queries, keys, values, causal=past is None)
        x = x + self.mixed(found.transpose(1, 2).flatten(2))
        return x + self.layer(self.before_layer(x)), (keys, values)


class TransformerPrior(CodeDistribution):
    """A causal Transformer over the row of codes.

    Args:
        layout: how the codes lie.
        config: width, a multiple of the heads; layers, heads, classes.

    Raises:
        ConfigError: a width that the heads do not divide.
    """

    def __init__(self, layout: CodeLayout, config: PriorConfig) -> None:
        super().__init__(layout, config)
        width, heads = config.prior_width, config.prior_heads
        if width % heads:
            raise ConfigError(f"prior_width is a multiple of prior_heads, got {width} and {heads}.")
        self.start = nn.Embedding(max(config.classes, 1), width)
        self.embeddings = nn.ModuleList(nn.Embedding(size, width) for size in layout.sizes)
        self.positions = nn.Parameter(torch.empty(layout.length, width))
        self.blocks = nn.ModuleList(CausalBlock(width, heads) for _ in range(config.prior_layers))
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleList(nn.Linear(width, size) for size in layout.sizes)
        nn.init.normal_(self.positions, std=0.02)
        for table in (self.start, *self.embeddings):
            nn.init.normal_(cast(nn.Embedding, table).weight, std=0.02)

    def logits(self, codes: Tensor, y: Tensor | None) -> list[Tensor]:
        """Shape (n, size, h * w) for each grid."""
        parts = torch.split(codes, self.layout.lengths, dim=1)
        vectors = [embedding(part) for embedding, part in zip(self.embeddings, parts, strict=True)]
        x = torch.cat([self._first(len(codes), y), *vectors], dim=1)[:, :-1] + self.positions
        for block in self.blocks:
            x, _ = block(x)
        outputs = torch.split(self.norm(x), self.layout.lengths, dim=1)
        return [head(part).transpose(1, 2) for head, part in zip(self.heads, outputs, strict=True)]

    def draw(self, n: int, y: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Rows of codes, int64, shape (n, length)."""
        x, codes, pasts = self._first(n, y), [], [None] * len(self.blocks)
        levels = [level for level, length in enumerate(self.layout.lengths) for _ in range(length)]
        for level, position in zip(levels, self.positions, strict=True):
            x = x + position
            for index, block in enumerate(self.blocks):
                x, pasts[index] = block(x, pasts[index])
            codes.append(drawn(self.heads[level](self.norm(x[:, 0])), generator))
            x = self.embeddings[level](codes[-1])[:, None]
        return torch.stack(codes, dim=1)

    def _first(self, n: int, y: Tensor | None) -> Tensor:
        """What the first position is fed, shape (n, 1, width)."""
        chosen = y if y is not None else torch.zeros(n, dtype=torch.int64, device=self.fitted.device)
        first: Tensor = self.start(chosen)[:, None]
        return first


def attention(queries: Tensor, keys: Tensor, values: Tensor, *, causal: bool) -> Tensor:
    """softmax(q k^T / sqrt(d)) v in float32, shape (n, heads, positions, d).

    Float32 also under autocast: on a CPU torch's bf16 attention with its gradient takes six times as long.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, keys, values = (p.float() if p.dtype == torch.bfloat16 else p for p in (queries, keys, values))
        return functional.scaled_dot_product_attention(queries, keys, values, is_causal=causal)
