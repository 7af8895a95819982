"""Conditional VAE: a variational autoencoder whose prior is learned from metadata, and met by the history.

    z_u ~ p(z | m_u),  x_u ~ Multinomial(N_u, softmax(f(z_u)))
    q(z | x, m) = p(z | m) g(z | x) / Z    for a history x that is not empty, else p(z | m)
    maximise  E_q[log p(x | z)] - beta KL(q(z | x, m) || p(z | m)),  beta annealed from 0

Prior and evidence g are diagonal Gaussians, so their product is one too: precisions add up. What nothing is known of is
answered from the prior's mean; the first items move it as far as the encoder trusts them; and with many items the
metadata fade. All scores go through one decoder, so every stage shares one index.

Training must show what serving will. A share of the users is shown a short history, of 0 to `longest_short` items drawn
log-uniformly, before it is normalised; the rest lose entries after that, as in Mult-VAE. Every field of the metadata,
and all of them together, goes missing at the same rate.

Source: conditional prior: Sohn, Lee & Yan, Learning Structured Output Representation using Deep Conditional Generative
Models, NeurIPS 2015; product of experts: Wu & Goodman, Multimodal Generative Models for Scalable Weakly-Supervised
Learning, NeurIPS 2018; likelihood, encoder and decoder: Liang et al., WWW 2018.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from recsys_vae.models.configs.conditional_vae import ConditionalVAEConfig
from recsys_vae.models.hybrid import with_gaps
from recsys_vae.models.variational import Variational
from recsys_vae.nn.gaussians import DiagonalGaussian, free_bits
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sparse_layers import SparseLinear, SparseRows, linear

LOG_VARIANCES = (-8.0, 4.0)
"""Bounds of every log-variance: no precision overflows, and none drowns all others."""


class ConditionalVAE(Variational):
    """Mult-VAE with a prior that knows the user's metadata."""

    config: ConditionalVAEConfig

    def __init__(self, n_items: int, config: ConditionalVAEConfig) -> None:
        super().__init__(n_items, config.hidden)
        self.config = config
        self.encoder_in = SparseLinear(n_items, config.hidden)
        self.encoder_out = linear(config.hidden, 2 * config.latent)
        self.prior_in = SparseLinear(sum(config.metadata), config.prior_hidden)
        self.prior_out = linear(config.prior_hidden, 2 * config.latent)
        self.decoder_in = linear(config.latent, config.hidden)

    def prior(self, rows: SparseRows) -> DiagonalGaussian:
        """p(z | m), d = latent; rows without metadata get the prior of a user of whom nothing is known."""
        known = rows.metadata or SparseRows.empty(len(rows), self.device)
        return _gaussian(self.prior_out(torch.tanh(self.prior_in(known))))

    def evidence(self, rows: SparseRows) -> DiagonalGaussian:
        """g(z | x) of normalised rows: what the history alone says."""
        return _gaussian(self.encoder_out(torch.tanh(self.encoder_in(rows))))

    def posterior(self, rows: SparseRows) -> DiagonalGaussian:
        """q(z | x, m) of normalised rows; the prior where a row is empty."""
        return self._combined(rows, self.prior(rows))

    def idle(self, rows: SparseRows) -> DiagonalGaussian:
        """The prior: a latent that does not move from it ignores the history."""
        return self.prior(rows)

    def hidden(self, rows: SparseRows) -> Tensor:
        """Decoder's hidden layer at the posterior mean, shape (n, hidden)."""
        return torch.tanh(self.decoder_in(self.posterior(rows.l2_normalised()).mean))

    def loss(self, rows: SparseRows, objective: Objective) -> Loss:
        """Negative evidence lower bound of the whole history, one draw of z a user."""
        shown = self._as_if_newer(rows, objective.generator)
        prior = self.prior(shown)
        posterior = self._combined(shown, prior)
        hidden = torch.tanh(self.decoder_in(posterior.sample(objective.generator)))
        misfit, nll = self.misfit(hidden, rows, objective)
        kl = posterior.kl_to(prior)
        penalty = free_bits(kl, objective.free_bits)
        return Loss(misfit + objective.kl_weight * penalty, nll, kl.detach().sum(dim=1).mean())

    def _combined(self, rows: SparseRows, prior: DiagonalGaussian) -> DiagonalGaussian:
        has_history = (rows.lengths() > 0).float().unsqueeze(1)
        return prior.times(self.evidence(rows), has_history)

    def _as_if_newer(self, rows: SparseRows, generator: torch.Generator | None) -> SparseRows:
        """Short histories for some of the users, dropped entries for the others, metadata gone missing for both."""
        is_short = _uniform(len(rows), rows, generator) < self.config.short
        longest = torch.exp(_uniform(len(rows), rows, generator) * math.log(self.config.longest_short + 1)) - 0.5
        kept = torch.where(is_short, longest / rows.lengths().clamp(min=1), torch.ones_like(longest))
        entries = _uniform(len(rows.indices), rows, generator) < kept[rows.row_numbers()]
        normalised = rows.only(entries).l2_normalised()
        whole = is_short[normalised.row_numbers()]
        scale = torch.where(whole, 1.0, 1.0 / (1.0 - self.config.dropout))
        scaled = replace(normalised, values=normalised.values * scale)
        shown = scaled.only(whole | normalised.survivors(self.config.dropout, generator))
        return with_gaps(shown, self.config.metadata, self.config.metadata_dropout, generator)


def _uniform(shape: int | tuple[int, ...], like: SparseRows, generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, generator=generator, device=like.values.device)


def _gaussian(parameters: Tensor) -> DiagonalGaussian:
    mean, log_variance = parameters.float().chunk(2, dim=1)
    return DiagonalGaussian(mean, functional.hardtanh(log_variance, *LOG_VARIANCES))
