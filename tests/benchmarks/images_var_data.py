"""MNIST for the benchmarks of the variational image models, in its three parts, and what they have in common."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch.nn import functional

from pipelines.image_datasets import load_images
from recsys_vae.images import catalog
from recsys_vae.images.image_set import ImageSet
from recsys_vae.images.pixels import static
from recsys_vae.images.variational import Variational
from recsys_vae.training.image_config import ImageTrainingConfig
from recsys_vae.training.images import ImageTrainingResult, train_images

PICTURES = Path(__file__).parents[2] / "docs" / "images" / "pictures"


def mnist() -> tuple[ImageSet, ImageSet, ImageSet]:
    """Train (50,000), validation (the last 10,000 of the published train part) and test (10,000), as grey bytes."""
    parts = load_images("mnist")
    return parts.train, parts.validation, parts.test


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
