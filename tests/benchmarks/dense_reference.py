"""Mult-VAE as most PyTorch ports write it: dense float32 rows in, dense logits out. What ours is timed against.

    python -m tests.benchmarks.dense_reference [N_ITEMS]

A process of its own, so that nothing we ask of the C library or of torch helps or hinders it. A line `N` runs N steps
of 512 users of Gowalla (its most popular items) and is answered with {"users", "seconds"}.
"""

import sys
import time
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional

from tests.benchmarks.peers.exchange import serve
from tests.benchmarks.quickstart import gowalla

BATCH = 512


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


def most_popular(interactions: csr_array, n_items: int | None) -> csr_array:
    """The columns with the most entries, in their order; all where no number is given."""
    if n_items is None:
        return interactions
    counts = np.bincount(interactions.indices, minlength=interactions.shape[1])
    return csr_array(interactions[:, np.sort(np.argsort(-counts, kind="stable")[:n_items])])


def main() -> None:
    """Run steps until the input ends."""
    n_items = int(sys.argv[1]) if len(sys.argv) > 1 else None
    training = DenseTraining(most_popular(gowalla().training_part.matrix, n_items), BATCH)

    def steps(n: int) -> dict[str, Any]:
        started = time.perf_counter()
        return {"users": sum(training.step() for _ in range(n)), "seconds": time.perf_counter() - started}

    serve(steps)


if __name__ == "__main__":
    main()
