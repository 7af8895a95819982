"""What is measured on a set of images while a model learns: its loss, and what it says of itself.

Nothing is dropped, and the noise of models that draw is the same each time: epochs compare, and a training takes the
same path whether it is measured or not.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from recsys_vae.images.data.image_set import Examples
from recsys_vae.images.data.pixels import GRAYSCALE, seen
from recsys_vae.images.layers.likelihood import GrayscaleWarning
from recsys_vae.images.protocol import Learner

WATCHED = 2_000
"""Images on which a model's own figures are measured."""
AT_ONCE = 500


@torch.no_grad()
def mean_loss(
    model: Learner, images: Examples, *, pixels: str = GRAYSCALE, beta: float = 1.0, seed: int = 0
) -> dict[str, float]:
    """Loss, reconstruction and regularizer in nats an image over a set, nothing dropped; equal seeds, equal noise.

    Args:
        pixels: what the model is to see; static images have been drawn already (`pixels.prepared`).
        beta: weight of the regularizer.
    """
    device, was_training = device_of(model), model.training
    sums = torch.zeros(3, dtype=torch.float64)
    with _own_noise(device, seed), grey_is_meant(pixels):
        model.eval()
        for start in range(0, len(images), AT_ONCE):
            x, y = batch_of(images, torch.arange(start, min(start + AT_ONCE, len(images))), device)
            loss = model.loss(seen(x, pixels), y, beta=beta)
            parts = torch.stack([loss.total, loss.reconstruction, loss.regularizer])
            sums += len(x) * parts.double().cpu()
        model.train(was_training)
    return dict(zip(("loss", "reconstruction", "regularizer"), (sums / len(images)).tolist(), strict=True))


@torch.no_grad()
def watched(model: Learner, images: Examples, pixels: str) -> dict[str, float]:
    """What a model says of itself, if it says anything."""
    watch = getattr(model, "watch", None)
    if watch is None:
        return {}
    device = device_of(model)
    with _own_noise(device, 0):
        model.eval()
        x, y = batch_of(images, torch.arange(min(WATCHED, len(images))), device)
        figures: dict[str, float] = watch(seen(x, pixels), y)
    return figures


def batch_of(images: Examples, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Examples of some rows and their labels, on a device."""
    y = None if images.y is None else images.y[rows].to(device)
    return images.inputs(rows).to(device), y


@contextmanager
def grey_is_meant(pixels: str) -> Iterator[None]:
    """Nobody who said grayscale is warned of it."""
    with warnings.catch_warnings():
        if pixels == GRAYSCALE:
            warnings.simplefilter("ignore", GrayscaleWarning)
        yield


@contextmanager
def _own_noise(device: torch.device, seed: int) -> Iterator[None]:
    """Noise of a seed, after which the default generators stand where they stood."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def device_of(model: Learner) -> torch.device:
    """Where the weights are."""
    return next(model.parameters()).device
