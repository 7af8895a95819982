"""Mult-VAE: a variational autoencoder with a multinomial likelihood.

    z_u ~ N(0, I),  pi(z_u) = softmax(f(z_u)),  x_u ~ Multinomial(N_u, pi(z_u))
    maximise  E_q(z|x)[log p(x|z)] - beta KL(q(z|x) || N(0, I)),  beta annealed from 0

The encoder sees the L2-normalised history with half of its entries dropped; prediction uses the mean of q. As in the
paper's published configuration, both networks have one tanh layer of 600 and the code has 200 dimensions. The encoder
may take metadata of the user, and of the items in the history, as further inputs (see `hybrid`).

Source: Liang, Krishnan, Hoffman & Jebara, Variational Autoencoders for Collaborative Filtering, WWW 2018.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from recsys_vae.errors import ConfigError
from recsys_vae.models.hybrid import HybridLinear, HybridOptions, with_gaps
from recsys_vae.models.search_space import BY_GRADIENT, Real, SearchSpace, Whole
from recsys_vae.models.variational import Variational
from recsys_vae.models.weighting import BY_DISLIKE, BY_WEIGHT, SignedOptions
from recsys_vae.nn.gaussians import DiagonalGaussian, free_bits
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sparse_layers import SparseRows, linear


@dataclass(frozen=True)
class MultVAEConfig(HybridOptions, SignedOptions):
    """Widths and dropout; the defaults are the paper's. Metadata, if any, as in `hybrid`, weights as in `weighting`.

    Attributes:
        hidden: width of the hidden layers of encoder and decoder.
        latent: dimensions of the code.
        dropout: share of the input entries that is dropped in training.
    """

    SEARCH_SPACE: ClassVar[SearchSpace] = {
        **BY_GRADIENT,
        "hidden": Whole(100, 1000, step=100),
        "latent": Whole(50, 400, step=50),
        "dropout": Real(0.1, 0.8),
        "kl_weight": Real(0.01, 1.0, log=True),
        "metadata_dropout": Real(0.0, 0.5),
        **BY_WEIGHT,
        **BY_DISLIKE,
    }

    hidden: int = 600
    latent: int = 200
    dropout: float = 0.5

    def __post_init__(self) -> None:
        HybridOptions.__post_init__(self)
        SignedOptions.__post_init__(self)
        if min(self.hidden, self.latent) < 1:
            raise ConfigError(f"Widths are at least 1, got hidden={self.hidden}, latent={self.latent}.")
        check_dropout(self.dropout)


def check_dropout(rate: float) -> None:
    """Raise ConfigError unless 0 <= rate < 1."""
    if not 0 <= rate < 1:
        raise ConfigError(f"Dropout is the share of entries that is removed, 0 <= dropout < 1; got {rate}.")


class MultVAE(Variational):
    """The model of Liang et al. 2018."""

    def __init__(self, n_items: int, config: MultVAEConfig) -> None:
        super().__init__(n_items, config.hidden)
        self.config = config
        self.encoder_in = HybridLinear(n_items, config.hidden, sum(config.metadata))
        self.encoder_out = linear(config.hidden, 2 * config.latent)
        self.decoder_in = linear(config.latent, config.hidden)

    def posterior(self, rows: SparseRows) -> DiagonalGaussian:
        """q(z | x) of normalised rows, d = latent."""
        hidden = torch.tanh(self.encoder_in(rows))
        mean, log_variance = self.encoder_out(hidden).float().chunk(2, dim=1)
        return DiagonalGaussian(mean, log_variance)

    def hidden(self, rows: SparseRows) -> Tensor:
        """Decoder's hidden layer at the posterior mean, shape (n, hidden)."""
        return torch.tanh(self.decoder_in(self.posterior(rows.l2_normalised()).mean))

    def loss(self, rows: SparseRows, objective: Objective) -> Loss:
        """Negative evidence lower bound, one draw of z a user (the paper's eq. 8)."""
        shown = rows.l2_normalised().dropped(self.config.dropout, objective.generator)
        shown = with_gaps(shown, self.config.metadata, self.config.metadata_dropout, objective.generator)
        posterior = self.posterior(shown)
        hidden = torch.tanh(self.decoder_in(posterior.sample(objective.generator)))
        misfit, nll = self.misfit(hidden, rows, objective)
        kl = posterior.kl_to_standard_normal()
        penalty = free_bits(kl, objective.free_bits)
        return Loss(misfit + objective.kl_weight * penalty, nll, kl.detach().sum(dim=1).mean())
