"""The multinomial likelihood over a sample of the catalogue, for catalogues where every item is too many.

    Z_u = sum over the targets of exp(h w_i + b_i)  +  sum over draws j not among them of exp(h w_j + b_j) / (S q_j)
    nll_u ~ N_u log Z_u - sum_i x_ui (h w_i + b_i)

S items are drawn with replacement from q for the whole batch. Dividing by S q_j (in logarithms: subtracting log S q_j,
the "logQ correction") makes Z_u an unbiased estimate of the softmax's denominator, so that the mean of the gradient
converges to the exact one as S grows. A user's targets are counted exactly and never a second time as draws.

Source: Bengio & Senecal, Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language Model,
IEEE Trans. Neural Networks 2008, eq. 5; Yi et al., Sampling-Bias-Corrected Neural Modeling, RecSys 2019, section 3.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.nn.row_products import row_gradient, row_products
from recsys_vae.nn.softmax import product_dtype
from recsys_vae.nn.sparse_layers import SparseRows, weighted_sums

LookUp: TypeAlias = Callable[[nn.Linear, Tensor], tuple[Tensor, Tensor]]
"""Rows of an output layer's weight, shape (m, d), and of its bias, shape (m,), by ascending item rows, shape (m,)."""
UNIFORM_SHARE = 0.1
"""Part of q that is spread evenly, so that no item is too rare to be drawn."""


class SampledSoftmax:
    """A likelihood that looks at a user's targets and at a sample of the other items.

    Its gradient with respect to the output layer's weight is sparse: only the rows looked at appear in it.

    Args:
        item_counts: users of each item in training, shape (n_items,); draws follow their square roots.
        negatives: S, items drawn a step.
        generator: source of the draws, on the device of the model.
    """

    def __init__(self, item_counts: Tensor, negatives: int, generator: torch.Generator | None = None) -> None:
        proposal = item_counts.to(torch.float64, copy=True).sqrt_()  # one array, as items may be many millions
        proposal.div_(proposal.sum().clamp(min=1e-12)).mul_(1 - UNIFORM_SHARE).add_(UNIFORM_SHARE / len(proposal))
        total = proposal.sum()
        self._proposal = (proposal / total).float()
        self._cumulative = torch.cumsum(proposal, 0, out=proposal).div_(total)
        self._negatives = negatives
        self._generator = generator
        self._drawn: Tensor | None = None
        self._look_up: LookUp = look_up

    def drawn_by(self, generator: torch.Generator) -> "SampledSoftmax":
        """The same with one sample of a generator's, for every call: for batches that are cut into parts."""
        fixed = copy(self)
        fixed._generator = generator
        fixed._drawn = fixed.draw()
        return fixed

    def looking_up(self, where: LookUp) -> "SampledSoftmax":
        """The same with rows from somewhere else than the layer that it is given."""
        other = copy(self)
        other._look_up = where
        return other

    @property
    def drawn(self) -> Tensor:
        """The one sample, of `drawn_by`, shape (S,) int64."""
        assert self._drawn is not None
        return self._drawn

    def draw(self) -> Tensor:
        """S item rows drawn from q with replacement, shape (S,) int64."""
        uniform = torch.rand(
            self._negatives, dtype=torch.float64, device=self._cumulative.device, generator=self._generator
        )
        return torch.searchsorted(self._cumulative, uniform).clamp_(max=len(self._cumulative) - 1)

    def __call__(self, hidden: Tensor, output: nn.Linear, targets: SparseRows) -> Tensor:
        """Estimate of the negative log-likelihood of each row in nats, shape (n,)."""
        return self.with_draws(hidden, output, targets, self.draw() if self._drawn is None else self._drawn)

    def with_draws(self, hidden: Tensor, output: nn.Linear, targets: SparseRows, drawn: Tensor) -> Tensor:
        """The estimate for draws that are given."""
        negatives, counts = torch.unique(drawn, return_counts=True)
        looked_at, places = torch.unique(torch.cat([negatives, targets.indices]), return_inverse=True)
        weight, bias = self._look_up(output, looked_at)
        rows = targets.row_numbers()
        sample = _Sample(
            SparseRows(places[len(negatives) :], targets.offsets, targets.values),
            rows,
            places[: len(negatives)],
            (self._proposal[negatives] * self._negatives / counts).log(),
            _hits(negatives, rows, targets.indices),
        )
        dtype = product_dtype(hidden)
        with torch.autocast(hidden.device.type, enabled=False):
            found: Tensor = _SampledNLL.apply(hidden, weight, bias, sample, dtype)  # type: ignore[no-untyped-call]
        return found


@dataclass(frozen=True, eq=False)
class _Sample:
    """Items that a batch looks at, m of them, and what they are to it.

    Attributes:
        targets: columns numbered by place among the items.
        rows: of the targets' entries, shape (nnz,).
        drawn: places of the negatives, all different, shape (s,).
        correction: log S q of each, times how often it was drawn, shape (s,).
        hits: row and number of negatives that are the row's own targets.
    """

    targets: SparseRows
    rows: Tensor
    drawn: Tensor
    correction: Tensor
    hits: tuple[Tensor, Tensor]


class _SampledNLL(torch.autograd.Function):
    """The estimate and its gradients, both passes written out."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, sample: _Sample, dtype: torch.dtype) -> Tensor:
        targets, rows = sample.targets, sample.rows
        logits = (hidden.to(dtype) @ weight[sample.drawn].to(dtype).T).float()
        logits += bias[sample.drawn] - sample.correction
        logits[sample.hits] = float("-inf")
        target_logits = row_products(hidden.float(), weight, rows, targets.indices) + bias[targets.indices]
        highest = logits.amax(dim=1).scatter_reduce(0, rows, target_logits, "amax")
        highest = torch.where(torch.isfinite(highest), highest, 0.0)
        exponentials = logits.sub_(highest.unsqueeze(1)).exp_()
        of_targets = (target_logits - highest[rows]).exp()
        total = exponentials.sum(dim=1).index_add_(0, rows, of_targets)
        ctx.save_for_backward(hidden, weight, exponentials.to(dtype), of_targets, total)
        ctx.sample, ctx.dtype = sample, dtype
        return targets.row_sums(targets.values) * (total.log() + highest) - targets.row_sums(
            targets.values * target_logits
        )

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, exponentials, of_targets, total = ctx.saved_tensors
        drawn, targets, rows = ctx.sample.drawn, ctx.sample.targets, ctx.sample.rows
        scale = upstream * targets.row_sums(targets.values) / total
        pulls = scale[rows] * of_targets - upstream[rows] * targets.values
        of_hidden = (exponentials @ weight[drawn].to(ctx.dtype)).float() * scale.unsqueeze(1)
        of_hidden += weighted_sums(weight, replace(targets, values=pulls))
        of_weight = of_bias = None
        if ctx.needs_input_grad[1]:
            borders = [0, len(hidden)]
            of_weight = row_gradient(hidden.float(), targets.indices, rows, pulls, borders, len(weight))
            scaled = (hidden.float() * scale.unsqueeze(1)).to(ctx.dtype)
            of_weight.index_add_(0, drawn, (exponentials.T @ scaled).float())
        if ctx.needs_input_grad[2]:
            of_bias = pulls.new_zeros(len(weight)).index_add_(0, targets.indices, pulls)
            of_bias.index_add_(0, drawn, scale @ exponentials.float())
        return of_hidden.to(hidden.dtype), of_weight, of_bias, None, None


def _hits(negatives: Tensor, rows: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """Row and number among the negatives of targets that were drawn."""
    place = torch.searchsorted(negatives, items).clamp_(max=len(negatives) - 1)
    hit = negatives[place] == items
    return rows[hit], place[hit]


def look_up(output: nn.Linear, items: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of the layer itself; the gradient of its weight is sparse."""
    return functional.embedding(items, output.weight, sparse=True), output.bias[items]
