"""Likelihoods of pixels: what a decoder's outputs mean, and how many nats an image costs under them.

Bernoulli (Kingma & Welling 2014, appendix C.1): outputs are logits l, and with p = sigmoid(l)

    -log p(x | z) = - sum_i x_i log p_i + (1 - x_i) log(1 - p_i)

It is the likelihood of binary pixels. For grey ones the same sum is a cross entropy and no log-likelihood: it is not
normalised over [0, 1], so nats from it compare only with those of the same kind (Loaiza-Ganem & Cunningham, The
Continuous Bernoulli, 2019).

Gaussian (appendix C.2): outputs are means m, of one fixed deviation s for all pixels, and

    -log p(x | z) = sum_i (x_i - m_i)^2 / (2 s^2) + log(s) + log(2 pi) / 2

With s = 1 its gradient is that of half the squared error.
"""

import math
import warnings

import torch
from torch import Tensor
from torch.nn import functional

from recsys_vae.errors import ConfigError, UnknownNameError

BERNOULLI, GAUSSIAN = "bernoulli", "gaussian"
LIKELIHOODS = (BERNOULLI, GAUSSIAN)


class GrayscaleWarning(UserWarning):
    """A Bernoulli likelihood meets pixels between 0 and 1.

    Training with `pixels="grayscale"` says that this is meant, and silences it.
    """


def check_likelihood(name: str) -> None:
    """Raise UnknownNameError where there is no such likelihood."""
    if name not in LIKELIHOODS:
        raise UnknownNameError("likelihood", name, LIKELIHOODS)


def negative_log_likelihood(name: str, outputs: Tensor, x: Tensor, deviation: float = 1.0) -> Tensor:
    """-log p(x | z) of each image in nats, shape (n,), computed in float32 whatever the precision of the outputs.

    Args:
        name: bernoulli or gaussian.
        outputs: of a decoder, as the images' shape (n, ...): logits or means.
        x: images in [0, 1].
        deviation: of the Gaussian, in units of pixels.

    Raises:
        UnknownNameError: there is no such likelihood.
        ConfigError: the deviation is not above 0.
    """
    check_likelihood(name)
    outputs, x = outputs.float(), x.float()
    if name == BERNOULLI:
        _warn_of_grey(x)
        nats = functional.binary_cross_entropy_with_logits(outputs, x, reduction="none")
    else:
        if not deviation > 0:
            raise ConfigError(f"The deviation of a Gaussian likelihood is above 0, got {deviation}.")
        nats = 0.5 * ((x - outputs) / deviation).square() + (math.log(deviation) + 0.5 * math.log(2 * math.pi))
    return nats.flatten(1).sum(dim=1)


def pixel_means(name: str, outputs: Tensor) -> Tensor:
    """Expected pixels in [0, 1] of a decoder's outputs, in their shape; means of a Gaussian are cut off there.

    Raises:
        UnknownNameError: there is no such likelihood.
    """
    check_likelihood(name)
    return torch.sigmoid(outputs.float()) if name == BERNOULLI else outputs.float().clamp(0.0, 1.0)


def _warn_of_grey(x: Tensor) -> None:
    if ((x > 0) & (x < 1)).any():
        message = (
            "A Bernoulli likelihood meets pixels that are neither 0 nor 1: the loss is a cross entropy, no "
            "log-likelihood. Draw the pixels (static or dynamic), take the Gaussian likelihood, or say grayscale."
        )
        warnings.warn(message, GrayscaleWarning, stacklevel=3)
