"""Variational: what the models with a distribution over codes have in common, so that all can be watched alike."""

from abc import abstractmethod

import torch

from recsys_vae.models.autoencoder import Autoencoder
from recsys_vae.nn.gaussians import DiagonalGaussian
from recsys_vae.nn.sparse_layers import SparseRows


class Variational(Autoencoder):
    """An autoencoder whose code z is drawn from a posterior q(z | x) that a prior holds together."""

    @abstractmethod
    def posterior(self, rows: SparseRows) -> DiagonalGaussian:
        """q(z | x) of normalised rows, shape (n, d); without noise of its own."""

    def idle(self, rows: SparseRows) -> DiagonalGaussian:
        """The posterior of latents that say nothing about these rows, shape (n, d) or (1, d): N(0, I).

        A latent's divergence from it is how far it is from having collapsed. Models with another prior override it.
        """
        zeros = torch.zeros(1, 1, device=self.device)
        return DiagonalGaussian(zeros, zeros)
