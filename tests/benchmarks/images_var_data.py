"""MNIST for the benchmarks of the variational image models, in its three parts, and what they have in common."""

import os
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional

from recsys_vae.images import catalog
from recsys_vae.images.image_set import ImageSet
from recsys_vae.images.pixels import static
from recsys_vae.images.variational import Variational
from recsys_vae.training.image_config import ImageTrainingConfig
from recsys_vae.training.images import ImageTrainingResult, train_images

PICTURES = Path(__file__).parents[2] / "docs" / "images" / "pictures"
VALIDATION = 10_000


@cache
def mnist() -> tuple[ImageSet, ImageSet, ImageSet]:
    """Train (50,000), validation (the last 10,000 of the published train part) and test (10,000), as grey bytes."""
    with np.load(Path(os.environ["RECSYS_DATA_DIR"]) / "mnist" / "mnist.npz") as arrays:
        found = [torch.from_numpy(arrays[name]) for name in ("x_train", "y_train", "x_test", "y_test")]
    whole = ImageSet(found[0].unsqueeze(1), found[1].long())
    test = ImageSet(found[2].unsqueeze(1), found[3].long())
    return whole.only(slice(None, -VALIDATION)), whole.only(slice(-VALIDATION, None)), test


def halved(images: ImageSet) -> ImageSet:
    """Half the height and width, each pixel the mean of four; then drawn once as Bernoulli."""
    small = functional.avg_pool2d(images.floats(), 2)
    return static(ImageSet(small, images.y))


def fit(
    name: str,
    model_settings: Mapping[str, Any],
    training: ImageTrainingConfig,
    images: ImageSet,
    validation: ImageSet | None = None,
) -> tuple[Variational, ImageTrainingResult]:
    """A trained model of the catalogue; its first weights come from the training's seed."""
    torch.manual_seed(training.seed)
    model = catalog.create(name, images.shape, catalog.configure(name, model_settings))
    result = train_images(model, images, training, validation=validation)
    assert isinstance(model, Variational)
    return model, result


def timed(measure: Callable[[int], dict[str, Any]]) -> Callable[[int], dict[str, Any]]:
    """The same measurement on one thread, with the minutes of processor time that it took."""

    def measured(seed: int) -> dict[str, Any]:
        torch.set_num_threads(1)
        started = time.process_time()
        figures = measure(seed)
        return figures | {"cpu_minutes": round((time.process_time() - started) / 60, 2)}

    return measured


def mean_and_error(values: torch.Tensor, name: str) -> dict[str, float]:
    """Mean over images and its standard error."""
    return {name: values.mean().item(), f"{name}_se": (values.std() / len(values) ** 0.5).item()}


def save(figure: Figure, name: str) -> None:
    """Keep a picture of the docs."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURES / f"{name}.png", dpi=110)
