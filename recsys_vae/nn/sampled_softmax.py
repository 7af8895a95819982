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
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.nn.softmax import product_dtype
from recsys_vae.nn.sparse_layers import SparseRows

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
        of_negatives, of_targets = places[: len(negatives)], places[len(negatives) :]
        rows = targets.row_numbers()

        dtype = product_dtype(hidden)
        logits = (hidden.to(dtype) @ weight[of_negatives].to(dtype).T).float() + bias[of_negatives]
        logits = logits - (self._proposal[negatives] * self._negatives / counts).log()
        logits = self._without_targets(logits, negatives, rows, targets.indices)
        target_logits = _row_products(hidden, weight, rows, of_targets) + bias[of_targets]
        normaliser = _logsumexp_with(logits, target_logits, rows)
        return targets.row_sums(targets.values) * normaliser - targets.row_sums(targets.values * target_logits)

    @staticmethod
    def _without_targets(logits: Tensor, negatives: Tensor, rows: Tensor, items: Tensor) -> Tensor:
        """Draws that are the row's own targets become -inf."""
        place = torch.searchsorted(negatives, items).clamp_(max=len(negatives) - 1)
        hit = negatives[place] == items
        return logits.index_put((rows[hit], place[hit]), logits.new_tensor(float("-inf")))


def look_up(output: nn.Linear, items: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of the layer itself; the gradient of its weight is sparse."""
    return functional.embedding(items, output.weight, sparse=True), output.bias[items]


def _row_products(hidden: Tensor, weight: Tensor, rows: Tensor, items: Tensor) -> Tensor:
    """Inner product of each entry's row of `hidden` and of `weight`, shape (nnz,) float32."""
    return (hidden.float()[rows] * weight.float()[items]).sum(dim=1)


def _logsumexp_with(logits: Tensor, extra: Tensor, rows: Tensor) -> Tensor:
    """logsumexp of each row of `logits` together with the entries of `extra` that belong to it, shape (n,)."""
    highest = logits.detach().amax(dim=1)
    highest = highest.scatter_reduce(0, rows, extra.detach(), "amax")
    highest = torch.where(torch.isfinite(highest), highest, 0.0)
    total = (logits - highest.unsqueeze(1)).exp().sum(dim=1)
    total = total.index_add(0, rows, (extra - highest[rows]).exp())
    return total.log() + highest
