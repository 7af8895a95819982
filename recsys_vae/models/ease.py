"""EASE: a linear autoencoder whose items may not explain themselves, in closed form.

    B = argmin ||X - XB||^2 + lambda ||B||^2  with  diag(B) = 0
    P = (X^T X + lambda I)^-1,   B_ij = -P_ij / P_jj for i != j,   0 on the diagonal

Source: Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019, eq. 8.
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
class EASEConfig(SignedOptions):
    """The one hyperparameter, beside what `weighting` adds.

    Attributes:
        l2: lambda; 100 to 1000 for most data sets.
    """

    SEARCH_SPACE: ClassVar[SearchSpace] = {"l2": Real(10.0, 10_000.0, log=True), **BY_WEIGHT, **BY_DISLIKE}

    l2: float = 500.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.l2 > 0:
            raise ConfigError(f"l2 must be above 0 for the Gram matrix to be invertible, got {self.l2}.")


class EASE(LinearAutoencoder):
    """The model of Steck 2019."""

    config: EASEConfig

    def penalty(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same for all items."""
        return np.full_like(counts, self.config.l2)
