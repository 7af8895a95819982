"""MNIST for the benchmarks of the image models, in its three parts, and what they have in common."""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch.nn import functional

from pipelines.images.datasets import load_images
from recsys_vae.home import home
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.data.pixels import static
from recsys_vae.images.models import catalog
from recsys_vae.images.models.variational import Variational
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.images.training.loop import ImageTrainingResult, train_images
from tests.benchmarks.records import record

CHECKPOINTS = home() / "image-benchmarks"
PICTURES = Path(__file__).parents[2] / "docs" / "images" / "pictures"
_used: dict[Path, bool] = {}
"""Checkpoints of the running measurement, and whether they were there before it."""


def mnist() -> tuple[ImageSet, ImageSet, ImageSet]:
    """Train (50,000), validation (the last 10,000 of the published train part) and test (10,000), as grey bytes."""
    parts = load_images("mnist")
    return parts.train, parts.validation, parts.test


def pooled(images: ImageSet, side: int) -> ImageSet:
    """Each pixel the mean of `side` by `side` of them; then drawn once as Bernoulli."""
    return static(ImageSet(functional.avg_pool2d(images.floats(), side), images.y))


def fit(
    name: str,
    model_settings: Mapping[str, Any],
    training: ImageTrainingConfig,
    images: ImageSet,
    validation: ImageSet | None = None,
) -> tuple[Variational, ImageTrainingResult]:
    """A trained model of the catalogue; its first weights come from the training's seed. An interrupted one goes on."""
    torch.manual_seed(training.seed)
    model = catalog.create(name, images.shape, catalog.configure(name, model_settings))
    told = repr((name, sorted(model_settings.items()), training, images.shape))
    checkpoint = CHECKPOINTS / f"{sha256(told.encode()).hexdigest()[:16]}.safetensors"
    _used.setdefault(checkpoint, checkpoint.exists())
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    result = train_images(model, images, training, validation=validation, checkpoint=checkpoint, resume=True)
    assert isinstance(model, Variational)
    return model, result


def timed(measure: Callable[[int], dict[str, Any]]) -> Callable[[int], dict[str, Any]]:
    """The same measurement on one thread, with the minutes of processor time that it took."""

    def measured(seed: int) -> dict[str, Any]:
        torch.set_num_threads(1)
        _used.clear()
        started = time.process_time()
        figures = measure(seed)
        figures["cpu_minutes"] = minutes_since(started)
        for checkpoint in _used:
            checkpoint.unlink(missing_ok=True)
        return figures

    return measured


def minutes_since(started: float) -> float | None:
    """Minutes of processor time since `time.process_time()` was that; None where an earlier process did a part."""
    return None if any(_used.values()) else round((time.process_time() - started) / 60, 2)


def mean_and_error(values: torch.Tensor, name: str) -> dict[str, float]:
    """Mean over images and its standard error."""
    return {name: values.mean().item(), f"{name}_se": (values.std() / len(values) ** 0.5).item()}


def save(figure: Figure, name: str) -> None:
    """Keep a picture of the docs, in 32 colours: a third of the bytes, and no difference to the eye."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=110, format="png")
    Image.open(drawn).convert("RGB").quantize(32).save(PICTURES / f"{name}.png", optimize=True)


def measure_named(runs: Mapping[str, Callable[[int], Mapping[str, Any]]], description: str | None) -> int:
    """Measure the runs that the command line names, or all; what has been measured is printed again.

    Returns:
        The seed that the command line names.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(runs), help=f"of {', '.join(runs)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="measure again what has been measured")
    arguments = parser.parse_args()
    for name in arguments.names:
        measure = partial(runs[name], arguments.seed)
        content = record("images", f"{name}-seed{arguments.seed}", measure, fresh=arguments.fresh)
        print(name, json.dumps(content["figures"], indent=1), flush=True)
    return int(arguments.seed)
