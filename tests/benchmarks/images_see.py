"""One-class anomaly detection and linear probes on MNIST; `make bench-images` runs these among others.

    python -m tests.benchmarks.images_see [NAME ...] [--fresh]

Anomalies: a model learns the train images of one digit, then scores all 10,000 test images, of which those of the other
nine digits are anomalies; ten models, one a digit. Width of the code and score are chosen on the mean area under the
curve over the last 10,000 train images, by models of the other 50,000 (`anomaly-choice`); the models that are reported
learn from all train images of their digit, for as many epochs, and read the test images once.

Probes: a logistic regression on codes of 20,000 train images, asked about the test images.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from recsys_vae.images.analysis.anomaly import SCORES, auroc, scores
from recsys_vae.images.analysis.embeddings import embed, linear_probe
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.data.pixels import prepared
from recsys_vae.images.models import catalog
from recsys_vae.images.protocol import ImageModule
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.images.training.loop import train_images
from tests.benchmarks.images_data import measure_named, mnist, timed
from tests.benchmarks.records import existing, record

DIGITS = range(10)
WIDTHS = (8, 12, 16, 24)
TRAINING = ImageTrainingConfig(epochs=20, batch_size=100, learning_rate=2e-3, learning_rate_decay=1.0, keep_best=False)
PROBED, PROBE_WIDTH = 20_000, 32
RESAMPLES = 100


def measure_choice(seed: int) -> dict[str, Any]:
    """Mean area over ten digits on validation, by width of the code and score."""
    train, validation, _ = mnist()
    found: dict[str, Any] = {}
    for width in WIDTHS:
        areas: dict[str, list[float]] = {}
        for digit in DIGITS:
            model = trained("ae", {"hidden": "256", "latent": width}, of_digit(train, digit), seed)
            for by in ("error", "scaled-error", "relative-error"):
                areas.setdefault(by, []).append(area(model, validation, digit, by)[0])
        found |= {f"width {width}, {by}": float(np.mean(values)) for by, values in areas.items()}
    return {"validation_auroc": found, "epochs": TRAINING.epochs}


def measure_digit(seed: int, digit: int) -> dict[str, Any]:
    """Areas on test of the chosen autoencoder by every score, and of PCA of the same width."""
    _, _, test = mnist()
    width, by = chosen(seed)
    ordinary = all_of(digit)
    model = trained("ae", {"hidden": "256", "latent": width}, ordinary, seed)
    found = {f"ae, {name}": area(model, test, digit, name) for name in SCORES if name != "elbo"}
    found[f"pca, {by}"] = _area(_by_pca(ordinary, test, width), test, digit)
    return {"chosen": f"ae, {by}", "width": width, "ordinary_images": len(ordinary), "test": _named(found)}


def measure_digit_by_bound(seed: int, digit: int) -> dict[str, Any]:
    """Areas on test, static, of a VAE of the same width by its bound, and by the chosen score."""
    _, _, test = mnist()
    width, by = chosen(seed)
    model = trained("vae", {"hidden": "256", "latent": width}, all_of(digit), seed)
    found = {f"vae, {name}": area(model, prepared(test, "static"), digit, name) for name in (by, "elbo")}
    return {"width": width, "test": _named(found)}


def measure_probe(seed: int) -> dict[str, Any]:
    """Accuracy of a linear classifier on codes of an autoencoder, on as many principal components, and on pixels."""
    train, _, test = mnist()
    model = trained("ae", {"latent": PROBE_WIDTH}, train, seed)
    shown = train.only(slice(PROBED))
    assert shown.y is not None
    assert test.y is not None
    pixels = [part.floats().flatten(1).numpy() for part in (shown, test)]
    components = PCA(PROBE_WIDTH, random_state=seed).fit(pixels[0])
    features = {
        f"ae, {PROBE_WIDTH} numbers": [embed(model, part.floats()) for part in (shown, test)],
        f"pca, {PROBE_WIDTH} numbers": [components.transform(part) for part in pixels],
        "pixels, 784 numbers": pixels,
    }
    probes = {name: linear_probe(a, shown.y.numpy(), b, test.y.numpy()) for name, (a, b) in features.items()}
    return {name: asdict(probe) for name, probe in probes.items()}


def trained(name: str, settings: dict[str, Any], images: ImageSet, seed: int) -> ImageModule:
    """A model of the catalogue, trained; first weights and training share the seed."""
    torch.manual_seed(seed)
    model = catalog.create(name, images.shape, catalog.configure(name, settings))
    train_images(model, images, replace(TRAINING, seed=seed))
    return model


def of_digit(images: ImageSet, digit: int) -> ImageSet:
    """The images of one digit."""
    assert images.y is not None
    return images.only(images.y == digit)


def all_of(digit: int) -> ImageSet:
    """All train images of one digit."""
    train, validation, _ = mnist()
    return ImageSet(torch.cat([of_digit(part, digit).x for part in (train, validation)]))


def area(model: ImageModule, images: ImageSet, digit: int, by: str) -> tuple[float, float]:
    """Area under the curve and its standard error over images."""
    return _area(scores(model, images.floats(), by=by), images, digit)


def chosen(seed: int) -> tuple[int, str]:
    """Width and score that were best on validation."""
    choice = record(BENCHMARK, f"anomaly-choice-seed{seed}", partial(timed(measure_choice), seed))
    best = max(choice["figures"]["validation_auroc"].items(), key=lambda item: item[1])[0]
    width, _, by = best.removeprefix("width ").partition(", ")
    return int(width), by


def mean_auroc(seed: int = 0) -> dict[str, tuple[float, float]]:
    """Mean over ten digits by model and score, with its standard error; without those of which a digit is missing.

    The errors of the digits, over test images, are taken as independent.
    """
    found: dict[str, tuple[float, float]] = {}
    for kind in ("anomaly", "anomaly-vae"):
        records = [existing(BENCHMARK, f"{kind}-{digit}-seed{seed}") for digit in DIGITS]
        runs = [run["figures"]["test"] for run in records if run is not None]
        for name in runs[0] if len(runs) == len(DIGITS) else ():
            areas, errors = ([run[name][key] for run in runs] for key in ("auroc", "standard_error"))
            found[name] = float(np.mean(areas)), float(np.linalg.norm(errors)) / len(runs)
    return found


def _named(found: dict[str, tuple[float, float]]) -> dict[str, dict[str, float]]:
    return {name: {"auroc": values[0], "standard_error": values[1]} for name, values in found.items()}


def _area(found: NDArray[np.float32], images: ImageSet, digit: int) -> tuple[float, float]:
    assert images.y is not None
    strange = images.y.numpy() != digit
    draws = np.random.default_rng(0).integers(len(found), size=(RESAMPLES, len(found)))
    return auroc(found, strange), float(np.std([auroc(found[draw], strange[draw]) for draw in draws], ddof=1))


def _by_pca(ordinary: ImageSet, test: ImageSet, width: int) -> NDArray[np.float32]:
    """Scaled errors of principal components."""
    learned, asked = (part.floats().flatten(1).numpy() for part in (ordinary, test))
    model = PCA(width, random_state=0).fit(learned)
    error = np.square(asked - model.inverse_transform(model.transform(asked))).sum(axis=1)
    scaled: NDArray[np.float32] = error / np.linalg.norm(asked, axis=1)
    return scaled


BENCHMARK = "images"
RUNS: dict[str, Callable[[int], dict[str, Any]]] = {
    "anomaly-choice": timed(measure_choice),
    **{f"anomaly-{digit}": timed(partial(measure_digit, digit=digit)) for digit in DIGITS},
    "probe": timed(measure_probe),
    **{f"anomaly-vae-{digit}": timed(partial(measure_digit_by_bound, digit=digit)) for digit in DIGITS},
}


if __name__ == "__main__":
    print(json.dumps(mean_auroc(measure_named(RUNS, __doc__))))
