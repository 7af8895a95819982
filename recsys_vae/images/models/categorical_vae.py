"""Categorical VAE: a code of discrete variables, trained through the Gumbel-softmax relaxation.

    z_d ~ Categorical(1/K),  q(z_d | x) = Categorical(softmax(a_d(x))),  d = 1 ... D
    relaxed draw:  softmax((a + g) / temperature),  g = -log(-log(u)),  u ~ Uniform(0, 1)
    KL(q || p) = sum_d sum_k q_dk (log q_dk + log K)

As the temperature falls the draw nears a one-hot vector and its gradient's variance grows: it starts at 1 and falls
exponentially to a floor. A hard draw is one-hot forward and has the relaxed draw's gradient (straight-through).

Source: Jang, Gu & Poole, Categorical Reparameterization with Gumbel-Softmax (ICLR 2017), eq. 2, sections 2.2 and 4;
Maddison, Mnih & Teh, The Concrete Distribution (ICLR 2017).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from recsys_vae.errors import ConfigError
from recsys_vae.images.layers.blocks import mlp, widths
from recsys_vae.images.layers.checks import Shape
from recsys_vae.images.models.variational import Variational, VariationalConfig

ACTIVE = 0.01
"""Variance over images above which a variable is active, as of a Gaussian latent (Burda et al. 2016)."""


@dataclass(frozen=True)
class CategoricalCode:
    """Independent categorical variables.

    Attributes:
        log_probabilities: normalised, shape (n, d, k).
        temperature: of a relaxed draw.
        hard: whether a draw is one-hot.
    """

    log_probabilities: Tensor
    temperature: Tensor | float = 1.0
    hard: bool = True

    @property
    def mean(self) -> Tensor:
        """Probabilities, shape (n, d, k)."""
        return self.log_probabilities.exp()

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One Gumbel-softmax draw an image, shape (n, d, k); its argmax is an exact draw at any temperature."""
        gumbel = -torch.empty_like(self.log_probabilities).exponential_(generator=generator).log()
        soft = ((self.log_probabilities + gumbel) / self.temperature).softmax(dim=-1)
        if not self.hard:
            return soft
        one_hot = functional.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft.dtype)
        return one_hot - soft.detach() + soft

    def log_prob(self, z: Tensor) -> Tensor:
        """Log probability of each variable of one-hot codes (..., n, d, k), shape (..., n, d)."""
        return (z * self.log_probabilities).sum(dim=-1)

    def kl_to(self, other: "CategoricalCode") -> Tensor:
        """KL(self || other) of each variable in nats, shape (n, d); `other` may have a single row."""
        return (self.mean * (self.log_probabilities - other.log_probabilities)).sum(dim=-1)


@dataclass(frozen=True)
class CategoricalVAEConfig(VariationalConfig):
    """Widths, and the schedule of the temperature. The importance-weighted bound needs `hard` draws.

    Attributes:
        latent: categorical variables.
        categories: values of each.
        hidden: widths of the encoder's hidden layers, joined by hyphens; the decoder has them in reverse.
        hard: one-hot draws in training, with the relaxed gradient; in evaluation draws are always one-hot.
        temperature: in the first epoch.
        lowest_temperature: the floor of its fall.
        temperature_decay: the temperature after e epochs is temperature * exp(-temperature_decay * e), or the floor.
    """

    latent: int = 20
    categories: int = 10
    hidden: str = "400"
    hard: bool = False
    temperature: float = 1.0
    lowest_temperature: float = 0.5
    temperature_decay: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        widths(self.hidden)
        if self.categories < 2:
            raise ConfigError(f"A categorical variable has at least two categories, got {self.categories}.")
        if not 0 < self.lowest_temperature <= self.temperature or self.temperature_decay < 0:
            raise ConfigError(
                f"The temperature falls from temperature to lowest_temperature, above 0, at a rate of at least 0; got "
                f"{self.temperature}, {self.lowest_temperature}, {self.temperature_decay}."
            )
        if self.importance_samples > 1 and not self.hard:
            raise ConfigError(
                "A relaxed code has no probability to weigh it by: with importance_samples set hard true."
            )


class CategoricalVAE(Variational):
    """Dense encoder and decoder around categorical variables; codes have shape (n, latent, categories)."""

    config: CategoricalVAEConfig
    temperature: Tensor

    def __init__(self, shape: Shape, config: CategoricalVAEConfig) -> None:
        super().__init__(shape, config)
        hidden, code = widths(config.hidden), config.latent * config.categories
        self.encoder = mlp([math.prod(shape), *hidden, code])
        self.decoder = mlp([code, *hidden[::-1], math.prod(shape)])
        self.register_buffer("temperature", torch.tensor(config.temperature))

    def begin_epoch(self, epoch: int) -> None:
        """Let the temperature fall; epochs count from 0."""
        fallen = self.config.temperature * math.exp(-self.config.temperature_decay * epoch)
        self.temperature.fill_(max(fallen, self.config.lowest_temperature))

    def posterior(self, x: Tensor, y: Tensor | None = None) -> CategoricalCode:
        """q(z | x); relaxed in training unless the configuration says hard."""
        logits = self.encoder(x.flatten(1)).float().view(-1, self.config.latent, self.config.categories)
        return CategoricalCode(logits.log_softmax(dim=-1), self.temperature, self.config.hard or not self.training)

    def prior(self, n: int = 1) -> CategoricalCode:
        """Every category equally likely."""
        shape = (n, self.config.latent, self.config.categories)
        device = next(self.parameters()).device
        return CategoricalCode(torch.full(shape, -math.log(self.config.categories), device=device))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Logits or means of the pixels; codes may be relaxed, shape (n, latent, categories)."""
        outputs: Tensor = self.decoder(z.flatten(1)).view(-1, *self.shape)
        return outputs

    @torch.no_grad()
    def watch(self, x: Tensor, y: Tensor | None = None) -> dict[str, float]:
        """As of every variational model; active are variables whose probabilities vary, together by more than 0.01."""
        variance = self.encode(x, y).var(dim=0, correction=0).sum(dim=1)
        return super().watch(x, y) | {"active_units": float((variance > ACTIVE).sum())}
