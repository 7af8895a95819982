"""H+Vamp (gated): a variational autoencoder with two levels of codes, a learned prior and gated layers.

    z2 ~ 1/K sum_k q(z2 | u_k),  z1 ~ p(z1 | z2),  x ~ Multinomial(N_u, softmax(f(z1, z2)))
    maximise  E_q[log p(x|z1, z2) - beta (log q(z2|x) - log p(z2) + KL(q(z1|x, z2) || p(z1|z2)))]
    every hidden layer is gated: (A h + a) * sigmoid(B h + b)

The prior of z2 (VampPrior) is the mixture of the posteriors of K learned pseudo-inputs u_k, so that the codes need not
huddle around the origin. The paper's pseudo-inputs are histories, one number in 0..1 for each item. With Adam's moments
that is 12 bytes * K * n_items of memory (6 GB at 500 and a million items) and, each step, a dense product over the
catalogue. By default they enter after the first layer instead: K * 2 hidden numbers, whatever the catalogue's size.

The KL of z1 is computed in closed form, given the draw of z2; that of z2, for which there is none, from that draw. Free
bits bound the former by latent dimension. The latter is not a sum over dimensions; it is bounded as a whole, by the
same number times the dimensions.

Source: Kim & Suh, Enhancing VAEs for Collaborative Filtering: Flexible Priors & Gating Mechanisms, RecSys 2019, with
one hidden layer; VampPrior: Tomczak & Welling, VAE with a VampPrior, AISTATS 2018.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.models.configs.h_vamp import HVampConfig
from recsys_vae.models.variational import Variational
from recsys_vae.nn.gaussians import DiagonalGaussian, free_bits, log_mixture, nearest_gaussian
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sparse_layers import SparseLinear, SparseRows, linear

LOG_VARIANCES = (-12.0, 4.0)
"""Bounds of every log-variance, as in the authors' code."""
FIRST_HISTORY = (0.05, 0.01)
"""Mean and deviation of the pseudo-inputs before training, as in the authors' code."""


class HVamp(Variational):
    """The model of Kim & Suh 2019."""

    config: HVampConfig

    def __init__(self, n_items: int, config: HVampConfig) -> None:
        super().__init__(n_items, config.hidden)
        self.config = config
        gated = 2 * config.hidden
        self.upper_in, self.lower_in = SparseLinear(n_items, gated), SparseLinear(n_items, gated)
        self.upper_out = linear(config.hidden, 2 * config.latent)
        self.lower_code = linear(config.latent, gated)
        self.lower_out = linear(config.hidden, 2 * config.latent)
        self.prior_in, self.prior_out = linear(config.latent, gated), linear(config.hidden, 2 * config.latent)
        self.decoder_in = linear(2 * config.latent, gated)
        width, (mean, deviation) = (n_items, FIRST_HISTORY) if config.pseudo_histories else (gated, (0.0, 0.1))
        self.pseudo_inputs = nn.Parameter(torch.empty(config.pseudo_inputs, width).normal_(mean, deviation))

    def posterior(self, rows: SparseRows) -> DiagonalGaussian:
        """q(z1, z2 | x) of normalised rows with z2 at its mean, d = 2 latent: z1 first."""
        upper = self._upper(rows)
        return _side_by_side(self._lower(rows, upper.mean), upper)

    def idle(self, rows: SparseRows) -> DiagonalGaussian:
        """What z1 is when it adds nothing to z2, and the Gaussian nearest to the prior of z2."""
        upper_mean = self._upper(rows).mean
        prior = nearest_gaussian(self.prior_parts())
        everywhere = DiagonalGaussian(prior.mean.expand_as(upper_mean), prior.log_variance.expand_as(upper_mean))
        return _side_by_side(self._lower_prior(upper_mean), everywhere)

    def hidden(self, rows: SparseRows) -> Tensor:
        """Decoder's hidden layer at the posterior means, shape (n, hidden)."""
        return self._decode(self.posterior(rows.l2_normalised()).mean)

    def loss(self, rows: SparseRows, objective: Objective) -> Loss:
        """Negative evidence lower bound, one draw of z2 and z1 a user."""
        dropped = rows.l2_normalised().dropped(self.config.dropout, objective.generator)
        upper = self._upper(dropped)
        z2 = upper.sample(objective.generator)
        lower = self._lower(dropped, z2)
        z1 = lower.sample(objective.generator)
        misfit, nll = self.misfit(self._decode(torch.cat([z1, z2], dim=1)), rows, objective)
        kl_lower = lower.kl_to(self._lower_prior(z2))
        kl_upper = upper.log_prob(z2).sum(dim=1) - log_mixture(z2, self.prior_parts())
        floor = objective.free_bits
        penalty = free_bits(kl_lower, floor) + free_bits(kl_upper.unsqueeze(1), floor * self.config.latent)
        kl = kl_lower.detach().sum(dim=1) + kl_upper.detach()
        return Loss(misfit + objective.kl_weight * penalty, nll, kl.mean())

    def prior_parts(self) -> DiagonalGaussian:
        """The K parts of the prior of z2: q(z2 | u_k), shape (K, latent)."""
        before_gate: Tensor = self.pseudo_inputs
        if self.config.pseudo_histories:
            before_gate = functional.linear(before_gate.clamp(0, 1), self.upper_in.weight.T, self.upper_in.bias)
        return _gaussian(self.upper_out(functional.glu(before_gate)))

    def _upper(self, rows: SparseRows) -> DiagonalGaussian:
        """q(z2 | x)."""
        return _gaussian(self.upper_out(functional.glu(self.upper_in(rows))))

    def _lower(self, rows: SparseRows, z2: Tensor) -> DiagonalGaussian:
        """q(z1 | x, z2)."""
        return _gaussian(self.lower_out(functional.glu(self.lower_in(rows) + self.lower_code(z2))))

    def _lower_prior(self, z2: Tensor) -> DiagonalGaussian:
        """p(z1 | z2)."""
        return _gaussian(self.prior_out(functional.glu(self.prior_in(z2))))

    def _decode(self, codes: Tensor) -> Tensor:
        return functional.glu(self.decoder_in(codes))


def _gaussian(parameters: Tensor) -> DiagonalGaussian:
    mean, log_variance = parameters.float().chunk(2, dim=1)
    return DiagonalGaussian(mean, functional.hardtanh(log_variance, *LOG_VARIANCES))


def _side_by_side(left: DiagonalGaussian, right: DiagonalGaussian) -> DiagonalGaussian:
    means, log_variances = (left.mean, right.mean), (left.log_variance, right.log_variance)
    return DiagonalGaussian(torch.cat(means, dim=1), torch.cat(log_variances, dim=1))
