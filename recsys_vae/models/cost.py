"""Cost: what a model takes to learn, as far as it is known before it begins.

A model says it itself, by a static method `cost(config, sizes)`. Of one that is trained by gradient and does not, it is
told by the number of its weights; of one in closed form that does not, nothing is known.
"""

from dataclasses import dataclass
from typing import Any

from recsys_vae.models.entry import Entry

BYTES_A_WEIGHT = 20
"""A float32 weight, its gradient, two moments of Adam, and the best one so far."""
OPERATIONS_A_WEIGHT = 6
"""Of one user's step: a multiplication and an addition forward, twice as many backward."""
BYTES_A_LOGIT = 12
"""A logit, its share of the softmax, and its gradient."""
USERS_A_STEP = 500
MOST_LOGITS = 1 << 25
"""More are not held at once: the likelihood is computed in chunks then."""


@dataclass(frozen=True)
class Sizes:
    """Of what is learned from."""

    n_users: int
    n_items: int
    n_interactions: int

    @property
    def pairs(self) -> int:
        """Pairs of items of one user, over all users, as if everybody had equally many; at most all there are."""
        return int(min(self.n_items**2, self.n_interactions**2 / max(1, self.n_users)))


@dataclass(frozen=True)
class Cost:
    """What learning takes, to the order of magnitude.

    Attributes:
        n_bytes: held at once, at the peak.
        operations: multiplications and additions: of a model in closed form all of them, else those of an epoch.
    """

    n_bytes: float
    operations: float


def expected_cost(entry: Entry, config: Any, sizes: Sizes) -> Cost | None:
    """What a model of the catalogue takes to learn from so much; None where it does not say."""
    told = getattr(entry.model, "cost", None)
    if told is not None:
        cost: Cost = told(config, sizes)
        return cost
    from torch import nn

    return cost_of_weights(entry.model, config, sizes) if issubclass(entry.model, nn.Module) else None


def cost_of_weights(model: type, config: Any, sizes: Sizes) -> Cost:
    """Cost of a model that is trained by gradient and touches every weight with every user: an upper bound.

    One that goes by order learns from every place of a history.
    """
    import torch

    with torch.device("meta"):  # shapes without memory
        weights = sum(parameter.numel() for parameter in model(sizes.n_items, config).parameters())
    logits = min(USERS_A_STEP * sizes.n_items, MOST_LOGITS)
    examples = sizes.n_interactions if getattr(model, "is_sequential", False) is True else sizes.n_users
    return Cost(BYTES_A_WEIGHT * weights + BYTES_A_LOGIT * logits, OPERATIONS_A_WEIGHT * weights * examples)
