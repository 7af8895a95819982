"""EDLAE: a linear autoencoder that predicts what was dropped from its input, in closed form.

    B = argmin E_d ||X - (d * X) B||^2 + lambda ||B||^2  with  diag(B) = 0,    d: 0 with probability p, else 1 / (1 - p)
    P = (X^T X + p / (1 - p) diag(X^T X) + lambda I)^-1,   B_ij = -P_ij / P_jj for i != j,   0 on the diagonal

Dropping entries costs each item in proportion to its users, where lambda costs all the same. The constraint on the
diagonal is the paper's full emphasis on what was dropped (a = 1, b = 0). At p = 0 this is EASE.

Source: Steck, Autoencoders that don't overfit towards the Identity, NeurIPS 2020, sections 2 and 3.
"""

import numpy as np
from numpy.typing import NDArray

from recsys_vae.models.configs.edlae import EDLAEConfig
from recsys_vae.models.linear_autoencoder import LinearAutoencoder


class EDLAE(LinearAutoencoder):
    """The model of Steck 2020, at full rank."""

    config: EDLAEConfig

    def penalty(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """More for popular items."""
        return self.config.l2 + counts * (self.config.dropout / (1 - self.config.dropout))
