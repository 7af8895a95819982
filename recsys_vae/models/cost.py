"""Cost: what a model takes to learn, as far as it is known before it begins.

A model says it itself, by a static method `cost(config, sizes)`. Of one that is trained by gradient and does not, it is
told by the number of its weights; of one in closed form that does not, nothing is known.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.models.entry import Entry

BYTES_A_WEIGHT = 20
"""A float32 weight, its gradient, two moments of Adam, and the best one so far."""
OPERATIONS_A_WEIGHT = 6
"""Of one user's step: a multiplication and an addition forward, twice as many backward."""
BYTES_A_LOGIT = 12
"""A logit, its share of the softmax, and its gradient."""
BYTES_A_NUMBER = 4
"""Of float32."""
GROUPS, SAMPLED = 1024, 128
"""Of items that are counted together; items whose neighbours are counted."""
USERS_A_STEP = 500
MOST_LOGITS = 1 << 25
"""More are not held at once: the likelihood is computed in chunks then."""


@dataclass(frozen=True)
class Sizes:
    """Of what is learned from.

    Attributes:
        products: squares of the number of interactions of a user, over all users; None where nobody has counted.
        co_occurring: pairs of items that any user has, both orders and each with itself; likewise.
    """

    n_users: int
    n_items: int
    n_interactions: int
    products: float | None = None
    co_occurring: float | None = None

    @classmethod
    def of(cls, matrix: csr_array) -> "Sizes":
        """Of interactions, shape (n_users, n_items); which items come together is counted of a sample of them."""
        counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
        chosen = np.argsort(counts, kind="stable")[:: max(1, matrix.shape[1] // SAMPLED)]
        pattern = csr_array((np.ones(matrix.nnz, np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)
        together = csr_array(pattern[:, chosen].T) @ pattern
        products = float(np.square(np.diff(matrix.indptr).astype(np.float64)).sum())
        n_users, n_items = matrix.shape
        return cls(n_users, n_items, int(matrix.nnz), products, together.nnz * n_items / max(1, len(chosen)))

    @classmethod
    def counted(cls, of_users: NDArray[np.float64], of_items: NDArray[np.integer]) -> "Sizes":
        """Of the number of interactions of each user and each item; items come together by chance."""
        n, products = float(of_users.sum()), float(np.square(of_users).sum())
        return cls(len(of_users), len(of_items), round(n), products, together_by_chance(n, products, of_items))

    @property
    def pairs(self) -> int:
        """Pairs of items of one user, over all users, at most all there are; where they are not known, as if everybody
        had equally many.
        """
        return int(min(self.n_items**2, self.work))

    @property
    def work(self) -> float:
        """The same, however many there are: what counting them takes."""
        return self.n_interactions**2 / max(1, self.n_users) if self.products is None else self.products

    @property
    def together(self) -> float:
        """Pairs of items that any user has, so that the Gram matrix holds something there."""
        return self.pairs if self.co_occurring is None else self.co_occurring


@dataclass(frozen=True)
class Cost:
    """What learning takes, to the order of magnitude.

    Attributes:
        n_bytes: held at once, at the peak, beside what is learned from.
        operations: multiplications and additions: of a model in closed form all of them, else those of an epoch.
        kept_bytes: of what was learned, as a bundle keeps it.
    """

    n_bytes: float
    operations: float
    kept_bytes: float = 0.0


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
    n_bytes = BYTES_A_WEIGHT * weights + BYTES_A_LOGIT * logits
    return Cost(n_bytes, OPERATIONS_A_WEIGHT * weights * examples, BYTES_A_NUMBER * weights)


def together_by_chance(n: float, products: float, of_items: NDArray[Any]) -> float:
    """Pairs of items that any user has, about, both orders and each with itself.

    A pair of items with c and c' users comes together in c c' P / N^2 histories, P being the pairs of all users
    (`products`) and N the interactions, and in none with probability exp(-that).
    """
    sizes, counts = _grouped(np.sort(np.asarray(of_items, dtype=np.float64)))
    together = 1 - np.exp(-np.outer(counts, counts) * (products / max(1.0, n) ** 2))
    return float(sizes @ together @ sizes)


def _grouped(ascending: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sizes and means of groups of items with about as many users each."""
    groups = np.array_split(ascending, min(GROUPS, max(1, len(ascending))))
    return np.array([float(len(one)) for one in groups]), np.array([one.mean() if len(one) else 0.0 for one in groups])
