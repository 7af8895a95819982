"""EDLAE: a linear autoencoder that predicts what was dropped from its input, in closed form.

    B = argmin E_d ||X - (d * X) B||^2 + lambda ||B||^2  with  diag(B) = 0,    d: 0 with probability p, else 1 / (1 - p)
    P = (X^T X + p / (1 - p) diag(X^T X) + lambda I)^-1,   B_ij = -P_ij / P_jj for i != j,   0 on the diagonal

Dropping entries costs each item in proportion to its users, where lambda costs all the same. The constraint on the
diagonal is the paper's full emphasis on what was dropped (a = 1, b = 0). At p = 0 this is EASE.

Source: Steck, Autoencoders that don't overfit towards the Identity, NeurIPS 2020, sections 2 and 3.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import ConfigError
from recsys_vae.models.linear_autoencoder import LinearAutoencoder
from recsys_vae.models.search_space import Real, SearchSpace
from recsys_vae.models.weighting import BY_DISLIKE, BY_WEIGHT, SignedOptions


@dataclass(frozen=True)
class EDLAEConfig(SignedOptions):
    """Two penalties, beside what `weighting` adds.

    Attributes:
        dropout: p, share of the input entries that are dropped.
        l2: lambda, of all items alike.
    """

    SEARCH_SPACE: ClassVar[SearchSpace] = {
        "dropout": Real(0.0, 0.9),
        "l2": Real(1.0, 10_000.0, log=True),
        **BY_WEIGHT,
        **BY_DISLIKE,
    }

    dropout: float = 0.3
    l2: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is a share of the input entries, at least 0 and below 1; got {self.dropout}.")
        if not self.l2 > 0:
            raise ConfigError(f"l2 must be above 0 for the Gram matrix to be invertible, got {self.l2}.")


class EDLAE(LinearAutoencoder):
    """The model of Steck 2020, at full rank."""

    config: EDLAEConfig

    def penalty(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """More for popular items."""
        return self.config.l2 + counts * (self.config.dropout / (1 - self.config.dropout))
