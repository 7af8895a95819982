"""Bounds on the log-likelihood of images under a variational model, image by image.

    ELBO(x) = E_q[log p(x | z)] - KL(q(z | x) || p(z))
    L_k(x) = E[log (1/k) sum_i p(x, z_i) / q(z_i | x)],  z_i ~ q(z | x);  ELBO = L_1 <= L_k <= log p(x)

Both are computed without the floors, prices and relaxations that a model trains with, so that models can be compared.

Source: Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders (ICLR 2016), eq. 8 and theorem 1.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from recsys_vae.errors import ConfigError
from recsys_vae.images.models.variational import Variational, log_mean_exp

ROWS = 4_000
"""Codes that are decoded at once, so that a chunk of logits stays in the processor's cache."""


def negative_elbo(
    model: Variational,
    x: Tensor,
    y: Tensor | None = None,
    *,
    samples: int = 1,
    chunk: int = ROWS,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Reconstruction and KL of each image in nats, two tensors of shape (n,), whose sum is minus the ELBO.

    Args:
        x: images, shape (n, channels, height, width); y: their labels, where the model takes some.
        samples: codes an image over which the reconstruction is averaged.
        chunk: codes decoded at once.

    Raises:
        ConfigError: no sample, or an empty chunk.
    """
    found = []
    with _evaluating(model):
        for images, labels in _chunks(x, y, samples, chunk):
            posterior = model.posterior(images, labels)
            reconstruction, _ = model.joint(images, labels, posterior, samples, generator)
            found.append((reconstruction.mean(dim=0), posterior.kl_to(model.prior()).sum(dim=1)))
    reconstructions, kls = zip(*found, strict=True)
    return torch.cat(reconstructions), torch.cat(kls)


def importance_weighted_nll(
    model: Variational,
    x: Tensor,
    y: Tensor | None = None,
    *,
    samples: int = 500,
    chunk: int = ROWS,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Minus L_k of each image in nats, an upper bound on -log p(x) that falls with the samples k; shape (n,).

    Args:
        x: images, shape (n, channels, height, width); y: their labels, where the model takes some.
        samples: codes an image, k.
        chunk: codes decoded at once.

    Raises:
        ConfigError: no sample, or an empty chunk.
    """
    found = []
    with _evaluating(model):
        for images, labels in _chunks(x, y, samples, chunk):
            posterior = model.posterior(images, labels)
            reconstruction, log_ratio = model.joint(images, labels, posterior, samples, generator)
            found.append(-log_mean_exp(log_ratio - reconstruction))
    return torch.cat(found)


def _chunks(x: Tensor, y: Tensor | None, samples: int, chunk: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    if samples < 1 or chunk < 1:
        raise ConfigError(f"A bound takes at least one sample and one code at once; got {samples} and {chunk}.")
    size = max(1, chunk // samples)
    for start in range(0, len(x), size):
        yield x[start : start + size], None if y is None else y[start : start + size]


@contextmanager
def _evaluating(model: Variational) -> Iterator[None]:
    """In evaluation mode and without gradients; the model is left in the mode it was in."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)
