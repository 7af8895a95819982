"""RecVAE: a variational autoencoder whose posterior is tied to its own past, with a decoder that is linear in the code.

    maximise  E_q(z|x)[log p(x|z) - beta_u (log q(z|x) - log p(z|x))],   p(x|z) = softmax(W z + b)
    p(z_d|x) = 3/20 N(0, 1) + 3/4 q_old(z_d|x) + 1/10 N(0, e^10)         for each latent dimension d
    beta_u = kl_weight * N_u / reference_length                          N_u: length of the user's history

The composite prior keeps the posterior near that of the last round (q_old is a copy of the encoder), the standard
normal near the origin, and the wide normal lets it leave. Encoder and decoder learn in turns: three passes over the
users train the encoder on histories of which half is dropped, then the encoder is copied to q_old, and one pass without
dropout trains the decoder. An epoch of the training loop is one such pass.

The paper's gamma is kl_weight / reference_length, .005 by default: the KL weight of the training settings, and with it
annealing and cycles, acts as for every other model, on a user with `reference_length` items. The KL is a Monte Carlo
estimate from the one draw that the decoder sees. Free bits bound it from below by latent dimension, averaged over users
in proportion to their histories; as a posterior that equals q_old is at most log 4/3 = .29 nats from the prior, a floor
above that switches the prior off. The encoder may take metadata of the user, and of the items in the history, as
further inputs (see `hybrid`); q_old is told them too.

Source: Shenbin, Alekseev, Tutubalina, Malykh & Nikolenko, RecVAE: A New Variational Autoencoder for Top-N
Recommendations with Implicit Feedback, WSDM 2020; the layers, and the
prior's being a mixture in each dimension by itself, as in the authors' published code.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from recsys_vae.models.configs.rec_vae import DENSE_LAYERS, NORM_EPSILON, RecVAEConfig
from recsys_vae.models.hybrid import HybridLinear, with_gaps
from recsys_vae.models.variational import Variational
from recsys_vae.nn.compiled_stack import CompiledStack
from recsys_vae.nn.gaussians import DiagonalGaussian, free_bits
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sparse_layers import SparseRows, linear, silu
from recsys_vae.protocols import Tensors

STANDARD_SHARE, OLD_SHARE, WIDE_SHARE = 3 / 20, 3 / 4, 1 / 10
"""Weights of the composite prior's parts."""
WIDE_LOG_VARIANCE = 10.0
OLD = "old_encoder."


class RecVAE(Variational):
    """The model of Shenbin et al. 2020."""

    config: RecVAEConfig

    def __init__(self, n_items: int, config: RecVAEConfig) -> None:
        super().__init__(n_items, config.latent)
        self.config = config
        sizes = n_items, config.hidden, config.latent, sum(config.metadata)
        self.encoder, self.old_encoder = DenselyConnectedEncoder(*sizes), DenselyConnectedEncoder(*sizes)
        self.old_encoder.requires_grad_(False)
        self._copy_encoder()
        self._compiled = CompiledStack(self, config.prediction.hidden)

    @property
    def epochs_a_round(self) -> int:
        """Passes that train the encoder, and the one that trains the decoder."""
        return self.config.encoder_passes + 1

    def begin_epoch(self, epoch: int) -> None:
        """Choose what learns; the encoder, which stands still while the decoder learns, is copied before that."""
        encoder_learns = self._encoder_learns(epoch)
        if not encoder_learns:
            self._copy_encoder()
        self.encoder.requires_grad_(encoder_learns)
        self.output.requires_grad_(not encoder_learns)

    def posterior(self, rows: SparseRows) -> DiagonalGaussian:
        """q(z | x) of normalised rows, d = latent."""
        found: DiagonalGaussian = self.encoder(rows)
        return found

    def hidden(self, rows: SparseRows) -> Tensor:
        """The posterior mean, shape (n, latent): the decoder has no layer of its own before the output."""
        if (found := self._by_compiled(rows)) is not None:
            return found
        mean: Tensor = self.encoder.mean(self.encoder.features(rows.l2_normalised()))
        return mean.float()

    def loss(self, rows: SparseRows, objective: Objective) -> Loss:
        """Negative evidence lower bound, one draw of z a user; input is dropped while the encoder learns only."""
        normalised = rows.l2_normalised()
        encoder_learns = self.encoder.mean.weight.requires_grad
        dropout, gaps = (self.config.dropout, self.config.metadata_dropout) if encoder_learns else (0.0, 0.0)
        shown = normalised.dropped(dropout, objective.generator)
        shown = with_gaps(shown, self.config.metadata, gaps, objective.generator)
        posterior = self.posterior(shown)
        z = posterior.sample(objective.generator)
        misfit, nll = self.misfit(z, rows, objective)
        kl = posterior.log_prob(z) - self._log_prior(z, normalised)
        lengths = rows.wanted.row_sums(rows.wanted.values) / self.config.reference_length
        penalty = free_bits(kl * lengths.unsqueeze(1), objective.free_bits)
        return Loss(misfit + objective.kl_weight * penalty, nll, kl.detach().sum(dim=1).mean())

    def tensors(self) -> Tensors:
        """Weights by name, without the copy of the encoder: prediction has no use for it."""
        return {name: value for name, value in super().tensors().items() if not name.startswith(OLD)}

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over weights by name; the old encoder becomes a copy of the encoder, or of mapped weights, which are not
        trained further, the same.

        Raises:
            DataError: names or shapes do not fit this configuration.
        """
        prefix = "encoder."
        copies = {OLD + name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
        super().load_tensors({**tensors, **copies})

    def _predicting(self) -> Iterable[nn.Module]:
        return self.encoder.predicting()

    def _encoder_learns(self, epoch: int) -> bool:
        return epoch % self.epochs_a_round < self.config.encoder_passes

    def _copy_encoder(self) -> None:
        self.old_encoder.load_state_dict(self.encoder.state_dict())

    def _log_prior(self, z: Tensor, rows: SparseRows) -> Tensor:
        """log p(z_d | x) by latent dimension, shape (n, latent)."""
        old: DiagonalGaussian = self.old_encoder(rows)
        return log_composite(z, old)


def log_composite(z: Tensor, old: DiagonalGaussian) -> Tensor:
    """Log density of each coordinate under the composite prior, shape (n, d).

    Args:
        z: codes, shape (n, d).
        old: the old posterior of the same users.
    """
    zero = torch.zeros_like(z)
    standard = DiagonalGaussian(zero, zero).log_prob(z) + math.log(STANDARD_SHARE)
    wide = DiagonalGaussian(zero, zero + WIDE_LOG_VARIANCE).log_prob(z) + math.log(WIDE_SHARE)
    return torch.logsumexp(torch.stack([standard, old.log_prob(z) + math.log(OLD_SHARE), wide]), dim=0)


class DenselyConnectedEncoder(nn.Module):
    """Five swish layers, each of which sees the sum of all before it, normalised.

    h_1 = norm(swish(A_1 x)),  h_l = norm(swish(A_l h_{l-1} + h_1 + ... + h_{l-1}))
    """

    def __init__(self, n_items: int, width: int, latent: int, n_features: int = 0) -> None:
        super().__init__()
        self.first = HybridLinear(n_items, width, n_features)
        self.layers = nn.ModuleList(linear(width, width) for _ in range(DENSE_LAYERS))
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=NORM_EPSILON) for _ in range(DENSE_LAYERS + 1))
        self.mean = linear(width, latent)
        self.log_variance = linear(width, latent)

    def forward(self, rows: SparseRows) -> DiagonalGaussian:
        """q(z | x) of normalised rows, shape (n, latent)."""
        hidden = self.features(rows)
        return DiagonalGaussian(self.mean(hidden).float(), self.log_variance(hidden).float())

    def predicting(self) -> Iterable[nn.Module]:
        """All layers but the one that makes the variance."""
        return [layer for layer in self.modules() if layer is not self.log_variance]

    def features(self, rows: SparseRows) -> Tensor:
        """The last layer, shape (n, width)."""
        hidden: Tensor = self.norms[0](silu(self.first(rows)))
        before = hidden
        for layer, norm in zip(self.layers, self.norms[1:], strict=True):
            hidden = norm(silu(layer(hidden) + before))
            before = before + hidden
        return hidden
