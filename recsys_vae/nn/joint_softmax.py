"""The multinomial likelihood of several leaves of a batch at once, where it is compiled.

A leaf's loss is computed first as if its likelihood were 0, by a `Deferred`, which notes what it was asked. Then
`joint_nll` computes the likelihoods of all of them in one pass over the output layer, and the layer's gradient as the
sum of the leaves' own in a binary tree: the bits of as many passes, for little more than the price of one. The loss
must be linear in the likelihood, as it is where that is averaged and added to other terms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from recsys_vae.native import multinomial
from recsys_vae.native.multinomial import LANES, Multinomial
from recsys_vae.nn.objective import Likelihood
from recsys_vae.nn.softmax import chunked_nll, exact_nll, product_dtype
from recsys_vae.nn.sparse_layers import SparseRows


class Deferred:
    """A likelihood that is 0 for now; a second call within a loss, or one that is not compiled, is answered at once.

    Args:
        likelihood: what it stands for.
        at: what it is instead of 0, everywhere.

    Attributes:
        nll: what it answered, shape (n,), through which gradients are asked for; None as long as it was not called.
        hidden: input of the layer, shape (n, d) float32.
        output: the layer.
        targets: of the rows.
    """

    def __init__(self, likelihood: Likelihood, at: float = 0.0) -> None:
        self._likelihood, self._at = likelihood, at
        self.nll: Tensor | None = None
        self.hidden: Tensor
        self.output: nn.Linear
        self.targets: SparseRows

    def __call__(self, hidden: Tensor, output: nn.Linear, targets: SparseRows) -> Tensor:
        """Zeros, shape (n,)."""
        if self.nll is not None or not multinomial.suits(hidden, product_dtype(hidden)):
            return self._likelihood(hidden, output, targets)
        self.hidden, self.output, self.targets = hidden.float(), output, targets
        self.nll = torch.full((len(hidden),), self._at, requires_grad=True)
        return self.nll

    @property
    def keeps(self) -> bool:
        """Whether the exponentials of all logits are kept for the way back."""
        return self._likelihood is not chunked_nll


def is_deferrable(likelihood: Likelihood) -> bool:
    """Whether a likelihood is one that `joint_nll` computes."""
    return likelihood in (exact_nll, chunked_nll)


@dataclass(frozen=True, eq=False)
class Joint:
    """What came of a joint pass.

    Attributes:
        nll: of each leaf's rows, shapes (n,).
        hidden: gradients of each leaf's input, shapes (n, d).
        weight, bias: the layer's gradients; None where it does not learn.
    """

    nll: list[Tensor]
    hidden: list[Tensor]
    weight: Tensor | None
    bias: Tensor | None


@torch.no_grad()
def joint_nll(leaves: Sequence[Deferred], upstream: Sequence[Tensor]) -> Joint:
    """Likelihoods of leaves and the gradients that they cause.

    Args:
        leaves: that were all called, with one layer; as many as a power of two.
        upstream: gradient of each row's likelihood, shapes (n,).
    """
    sizes = [len(leaf.hidden) for leaf in leaves]
    borders = np.cumsum([0, *(-(-size // LANES) * LANES for size in sizes)])
    places = [slice(int(start), int(start) + size) for start, size in zip(borders, sizes, strict=False)]
    output = leaves[0].output
    hidden = torch.zeros(int(borders[-1]), output.in_features)
    pulled = torch.zeros(len(hidden))
    for place, leaf, some in zip(places, leaves, upstream, strict=True):
        hidden[place], pulled[place] = leaf.hidden, some
    numbered = [leaf.targets.row_numbers() + place.start for place, leaf in zip(places, leaves, strict=True)]
    columns, order = torch.cat([leaf.targets.indices for leaf in leaves]).sort(stable=True)
    rows, values = torch.cat(numbered)[order], torch.cat([leaf.targets.values for leaf in leaves])[order]
    layer = Multinomial(hidden, output.weight.detach(), output.bias.detach(), rows, columns)
    target_logits, normaliser, maxima, exponentials = layer.forward(keep=leaves[0].keeps)
    counts = torch.zeros_like(normaliser).index_add_(0, rows, values)
    nll = (counts * normaliser).index_add_(0, rows, values * target_logits, alpha=-1)
    learns = output.weight.requires_grad
    given = (pulled * counts, pulled[rows] * values, normaliser, maxima, exponentials)
    of_hidden, of_weight, of_bias = layer.backward(*given, learns=learns, borders=torch.from_numpy(borders))
    return Joint([nll[place] for place in places], [of_hidden[place] for place in places], of_weight, of_bias)
