"""Anomaly scores: an autoencoder that has learned ordinary images makes little of others.

    error            |x - x'|^2, x' the reconstruction
    relative-error   |x - x'|^2 / |x|^2
    scaled-error     |x - x'|^2 / |x|
    elbo             E_q[-log p(x | z)] + KL(q(z | x) || p(z)): minus the evidence lower bound, in nats

Higher is stranger. The plain error and the bound grow with the amount of ink: by them a bold ordinary 8 is stranger
than any 1, in which there is little to get wrong. The relative error asks what share of the image was missed, and goes
too far the other way: it forgives bold strangers. The scaled error lies between both.

What is strange depends on what the model has learned from, so a score says nothing by itself: compare it with those of
ordinary images that were not learned from.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from recsys_vae.errors import DataError, ModelError, UnknownNameError
from recsys_vae.images.analysis import bounds
from recsys_vae.images.analysis.reconstruction import BATCH, batches, reconstruct
from recsys_vae.images.models.variational import Variational
from recsys_vae.images.protocol import ImageModule

Score = Callable[[ImageModule, Tensor, Tensor | None], Tensor]
DRAWS = 16
"""Codes an image over which the bound is averaged: one draw adds noise of its own to the order of the images."""


def squared_error(model: ImageModule, x: Tensor, y: Tensor | None = None) -> Tensor:
    """|x - x'|^2 of each image, shape (n,)."""
    return (x - reconstruct(model, x, y)).square().flatten(1).sum(dim=1)


def relative_error(model: ImageModule, x: Tensor, y: Tensor | None = None) -> Tensor:
    """|x - x'|^2 / |x|^2 of each image, shape (n,); infinite for an image without ink that comes out with some."""
    return _over(squared_error(model, x, y), x.flatten(1).norm(dim=1).square())


def scaled_error(model: ImageModule, x: Tensor, y: Tensor | None = None) -> Tensor:
    """|x - x'|^2 / |x| of each image, shape (n,); infinite for an image without ink that comes out with some."""
    return _over(squared_error(model, x, y), x.flatten(1).norm(dim=1))


def _over(error: Tensor, ink: Tensor) -> Tensor:
    return torch.where(error > 0, error / ink, 0.0)


def negative_elbo(model: ImageModule, x: Tensor, y: Tensor | None = None) -> Tensor:
    """Minus the evidence lower bound of each image in nats, shape (n,), averaged over `DRAWS` codes from a fixed seed.

    Raises:
        ModelError: the model has no distribution over codes.
    """
    if not isinstance(model, Variational):
        raise ModelError(f"{type(model).__name__} has no evidence lower bound: score by an error, or train a VAE.")
    generator = torch.Generator(x.device).manual_seed(0)
    reconstruction, kl = bounds.negative_elbo(model, x, y, samples=DRAWS, generator=generator)
    return reconstruction + kl


SCORES: dict[str, Score] = {
    "error": squared_error,
    "relative-error": relative_error,
    "scaled-error": scaled_error,
    "elbo": negative_elbo,
}


@torch.no_grad()
def scores(
    model: ImageModule, x: Tensor, y: Tensor | None = None, *, by: str = "scaled-error", batch: int = BATCH
) -> NDArray[np.float32]:
    """How strange each image is to a model, shape (n,); higher is stranger.

    Args:
        model: in evaluation mode, trained on ordinary images.
        x: images in [0, 1], shape (n, c, h, w).
        y: labels, where the model is conditional.
        by: one of `SCORES`.
        batch: images at once.

    Raises:
        UnknownNameError: no such score.
        ModelError: `elbo` of a model that has none.
    """
    if by not in SCORES:
        raise UnknownNameError("anomaly score", by, SCORES)
    found: NDArray[np.float32] = (
        torch.cat([SCORES[by](model, part, labels) for part, labels in batches(x, y, batch)]).cpu().numpy()
    )
    return found


def auroc(found: NDArray[np.float32], anomalous: NDArray[np.bool_]) -> float:
    """Probability that a strange image has a higher score than an ordinary one, ties counted half.

    Args:
        found: scores, shape (n,).
        anomalous: which images are strange, shape (n,).

    Raises:
        DataError: all of them are, or none is.
    """
    if anomalous.all() or not anomalous.any():
        raise DataError("The area under the curve compares strange images with ordinary ones: some of both are needed.")
    return float(roc_auc_score(anomalous, found))
