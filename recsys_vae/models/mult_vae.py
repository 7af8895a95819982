"""Mult-VAE: a variational autoencoder with a multinomial likelihood.

    z_u ~ N(0, I),  pi(z_u) = softmax(f(z_u)),  x_u ~ Multinomial(N_u, pi(z_u))
    maximise  E_q(z|x)[log p(x|z)] - beta KL(q(z|x) || N(0, I)),  beta annealed from 0

The encoder sees the L2-normalised history with half of its entries dropped; prediction uses the mean of q. As in the
paper's published configuration, both networks have one tanh layer of 600 and the code has 200 dimensions. The encoder
may take metadata of the user, and of the items in the history, as further inputs (see `hybrid`).

Source: Liang, Krishnan, Hoffman & Jebara, Variational Autoencoders for Collaborative Filtering, WWW 2018.
"""

import torch
from torch import Tensor

from recsys_vae.models.configs.mult_vae import MultVAEConfig
from recsys_vae.models.hybrid import HybridLinear, with_gaps
from recsys_vae.models.variational import Variational
from recsys_vae.nn.compiled_stack import CompiledStack
from recsys_vae.nn.gaussians import DiagonalGaussian, free_bits
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sparse_layers import SparseRows, linear


class MultVAE(Variational):
    """The model of Liang et al. 2018."""

    def __init__(self, n_items: int, config: MultVAEConfig) -> None:
        super().__init__(n_items, config.hidden)
        self.config = config
        self.encoder_in = HybridLinear(n_items, config.hidden, sum(config.metadata))
        self.encoder_out = linear(config.hidden, 2 * config.latent)
        self.decoder_in = linear(config.latent, config.hidden)
        self._compiled = CompiledStack(self, config.prediction.hidden)

    def posterior(self, rows: SparseRows) -> DiagonalGaussian:
        """q(z | x) of normalised rows, d = latent."""
        hidden = torch.tanh(self.encoder_in(rows))
        mean, log_variance = self.encoder_out(hidden).float().chunk(2, dim=1)
        return DiagonalGaussian(mean, log_variance)

    def hidden(self, rows: SparseRows) -> Tensor:
        """Decoder's hidden layer at the posterior mean, shape (n, hidden)."""
        if (found := self._by_compiled(rows)) is not None:
            return found
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
