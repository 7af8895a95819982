"""Activity: how much of its code a variational model uses. Where the posterior has collapsed, latents say nothing.

Two numbers a latent dimension, of the posterior at prediction time (nothing dropped, nothing drawn):

- the variance over users of its mean; a dimension above 0.01 is active (Burda et al. 2016, see `latent.active_units`)
- KL(q(z_d | x) || idle) in nats, averaged over users; see `Variational.idle`
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.models.compiled_model import CompiledModel
from recsys_vae.protocols import Float32Array

if TYPE_CHECKING:
    from recsys_vae.models.variational import Variational
    from recsys_vae.nn.sparse_layers import Sums

ACTIVE = 0.01
"""Variance of a latent's mean above which it is active."""
LEAST_USERS, MOST_USERS = 200, 2_000
"""Users on whom activity is measured: enough for means over users, and few enough to cost little beside an epoch."""


@dataclass(frozen=True, eq=False)
class Activity:
    """How much of its code a model uses.

    Attributes:
        active_units: latent dimensions whose posterior mean varies between users.
        kl: nats by latent dimension, averaged over users, shape (d,).
    """

    active_units: int
    kl: Float32Array

    def summary(self) -> dict[str, float]:
        """A few numbers, as a history keeps them."""
        return {
            "active_units": float(self.active_units),
            "latent_kl_mean": float(self.kl.mean()),
            "latent_kl_median": float(np.median(self.kl)),
            "latent_kl_max": float(self.kl.max()),
        }


def sample_histories(interactions: csr_array, seed: int = 0, *, share: float = 0.1) -> csr_array:
    """Histories of a share of the users who have one, at least 200 and at most 2,000; equal seeds choose the same.

    Args:
        interactions: shape (n_users, n_items).
    """
    users = np.flatnonzero(np.diff(interactions.indptr))
    n = min(len(users), MOST_USERS, max(int(len(users) * share), LEAST_USERS))
    chosen = np.random.default_rng(seed).choice(users, n, replace=False)
    sampled: csr_array = interactions[np.sort(chosen)]
    return sampled


def measure_activity(model: "Variational", histories: csr_array, sums: "Sums | None" = None) -> Activity:
    """Measure on histories, shape (n, n_items); draws no random number and changes nothing.

    Args:
        sums: what adds up the first layer's rows, where the model does not hold them all.
    """
    import torch

    from recsys_vae.nn.gaussians import active_units

    with torch.inference_mode():
        rows = replace(model.rows(histories), sums=sums).l2_normalised()
        posterior = model.posterior(rows)
        kl = posterior.kl_to(model.idle(rows)).mean(dim=0)
        return Activity(active_units(posterior.mean), kl.float().cpu().numpy())


def activity_without_torch(model: CompiledModel, histories: csr_array) -> Activity:
    """The same of a model whose idle latents are N(0, I)."""
    mean, log_variance = model.posterior(histories)
    kl = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).mean(axis=0)
    return Activity(int((mean.var(axis=0) > ACTIVE).sum()), kl)
