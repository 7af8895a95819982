"""EASE: a linear autoencoder whose items may not explain themselves, in closed form.

    B = argmin ||X - XB||^2 + lambda ||B||^2  with  diag(B) = 0
    P = (X^T X + lambda I)^-1,   B_ij = -P_ij / P_jj for i != j,   0 on the diagonal

Source: Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019, eq. 8.
"""

import numpy as np
from numpy.typing import NDArray

from recsys_vae.models.configs.ease import EASEConfig
from recsys_vae.models.linear_autoencoder import LinearAutoencoder


class EASE(LinearAutoencoder):
    """The model of Steck 2019."""

    config: EASEConfig

    def penalty(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same for all items."""
        return np.full_like(counts, self.config.l2)
