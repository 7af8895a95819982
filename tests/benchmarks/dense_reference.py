"""Mult-VAE as most PyTorch ports write it: dense float32 rows in, dense logits out. What ours is timed against."""

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional


class DenseMultVAE(nn.Module):
    """The network of Liang et al. 2018 (600-200-600 by default) on dense rows."""

    def __init__(self, n_items: int, hidden: int = 600, latent: int = 200) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = nn.Sequential(nn.Linear(n_items, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, n_items))

    def loss(self, rows: Tensor, kl_weight: float) -> Tensor:
        """Negative evidence lower bound a user; rows have shape (n, n_items)."""
        shown = functional.dropout(functional.normalize(rows), 0.5)
        mean, log_variance = self.encoder(shown).split(self.latent, dim=1)
        code = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        log_likelihood = functional.log_softmax(self.decoder(code), dim=1)
        nll = -(log_likelihood * rows).sum(dim=1).mean()
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1).mean()
        return nll + kl_weight * kl


class DenseTraining:
    """Steps on demand, over the users of a matrix in shuffled order."""

    def __init__(self, interactions: csr_array, batch_size: int) -> None:
        self._interactions = interactions
        self._batch_size = batch_size
        self._model = DenseMultVAE(interactions.shape[1])
        self._optimizer = torch.optim.Adam(self._model.parameters())
        self._rng = np.random.default_rng(0)

    def step(self) -> int:
        """Take one step; returns the number of users in it."""
        users = self._rng.permutation(self._interactions.shape[0])[: self._batch_size]
        rows = torch.from_numpy(self._interactions[users].toarray())
        self._optimizer.zero_grad()
        loss = self._model.loss(rows, kl_weight=0.1)
        loss.backward()
        self._optimizer.step()
        return len(users)
