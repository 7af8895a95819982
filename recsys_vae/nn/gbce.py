"""gBCE: binary cross-entropy against sampled negatives, with the overconfidence that sampling brings taken out.

    loss = -beta log sigmoid(s+) - sum over k draws log(1 - sigmoid(s-))
    beta = a (t (1 - 1/a) + 1/a),   a = k / (n_items - 1)

t = 0 is plain binary cross-entropy, t = 1 gives probabilities that are calibrated. The k negatives are drawn evenly,
once for all the targets of a step (the paper draws them for each user): one matrix product, and a target that is drawn
does not count as a negative of itself.

Source: Petrov & Macdonald, gSASRec: Reducing Overconfidence in Sequential Recommendation Trained with Negative
Sampling, RecSys 2023, eq. 9 and 14.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.nn.sparse_layers import SparseRows


@dataclass(frozen=True)
class GeneralisedBCE:
    """A loss in the place of the likelihood; see `nn.objective.Likelihood`.

    Attributes:
        negatives: k.
        calibration: t, 0 to 1.
        generator: source of the draws.
    """

    negatives: int
    calibration: float
    generator: torch.Generator | None = None

    def beta(self, n_items: int) -> float:
        """Exponent of a positive's probability."""
        rate = min(1.0, self.negatives / max(n_items - 1, 1))
        return rate * (self.calibration * (1 - 1 / rate) + 1 / rate)

    def __call__(self, hidden: Tensor, output: nn.Linear, targets: SparseRows) -> Tensor:
        """The loss of each row, one target each, shape (n,)."""
        n_items = output.out_features
        drawn = torch.randint(n_items, (self.negatives,), device=hidden.device, generator=self.generator)
        positive = (hidden.float() * output.weight[targets.indices]).sum(dim=1) + output.bias[targets.indices]
        negative = functional.linear(hidden, output.weight[drawn], output.bias[drawn]).float()
        negative = negative.masked_fill(drawn == targets.indices[:, None], float("-inf"))
        return self.beta(n_items) * functional.softplus(-positive) + functional.softplus(negative).sum(dim=1)
