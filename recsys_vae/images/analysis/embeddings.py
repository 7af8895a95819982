"""Codes as features: embeddings of images, and how much a linear classifier reads from them."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from recsys_vae.errors import DataError
from recsys_vae.images.analysis.reconstruction import BATCH, batches
from recsys_vae.images.protocol import ImageModule


@torch.no_grad()
def embed(model: ImageModule, x: Tensor, y: Tensor | None = None, *, batch: int = BATCH) -> NDArray[np.float32]:
    """The code of each image as one row, shape (n, d): the mean where it is a distribution; deterministic.

    Args:
        model: in evaluation mode.
        x: images, shape (n, c, h, w).
        y: labels, where the model is conditional.
        batch: images encoded at once.
    """
    codes = [model.encode(part, labels).flatten(1) for part, labels in batches(x, y, batch)]
    found: NDArray[np.float32] = torch.cat(codes).float().cpu().numpy()
    return found


@dataclass(frozen=True)
class Probe:
    """How well a linear classifier does.

    Attributes:
        accuracy: share of the test images that it names rightly.
        standard_error: of that share, over test images.
    """

    accuracy: float
    standard_error: float


def linear_probe(
    codes: NDArray[np.float32],
    labels: NDArray[np.int64],
    test_codes: NDArray[np.float32],
    test_labels: NDArray[np.int64],
) -> Probe:
    """Train a multinomial logistic regression on standardised codes, and ask it about others (Alain & Bengio 2016).

    Args:
        codes, test_codes: shape (n, d).
        labels, test_labels: shape (n,).

    Raises:
        DataError: fewer than two classes to tell apart.
    """
    if len(np.unique(labels)) < 2:
        raise DataError("A linear probe tells classes apart: it needs images of at least two labels.")
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    hits = classifier.fit(codes, labels).predict(test_codes) == test_labels
    return Probe(float(hits.mean()), float(hits.std(ddof=1) / np.sqrt(len(hits))))
