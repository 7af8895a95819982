"""The vector-quantized image models and priors over their codes on MNIST; `make bench-images` runs these among others.

    python -m tests.benchmarks.images_vq [NAME ...] [--seed N] [--fresh]

Trained on the first 50,000 images of the train part, the epoch chosen on its last 10,000, grayscale pixels under a
Gaussian likelihood; the test part is read once a reported model. One thread a run. Trained weights are kept under
RECSYS_HOME/benchmarks/images: an interrupted run goes on from there (its cpu_minutes are then those of the last
process), and the priors start from the model that the run before them trained.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recsys_vae.home import home
from recsys_vae.images.analysis.charts import codebook
from recsys_vae.images.analysis.figures import class_samples, reconstructions
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.data.pixels import GRAYSCALE
from recsys_vae.images.layers.quantizer import codebook_use, perplexity
from recsys_vae.images.models import catalog
from recsys_vae.images.models.vector_quantized import VectorQuantized
from recsys_vae.images.priors.code_distribution import CodeDistribution
from recsys_vae.images.training.code_prior import fit_prior
from recsys_vae.images.training.code_set import CodeSet
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.images.training.loop import ImageTrainingResult, train_images
from tests.benchmarks.images_data import mean_and_error, measure_named, mnist, save, timed

ONE_LEVEL = {"codes": 128, "width": 16}
TWO_LEVELS = {"top_codes": 64, "bottom_codes": 32, "width": 16}
"""4 x 4 x 6 + 7 x 7 x 5 = 341 bits an image, where one level of 7 x 7 codes of 7 bits has 343."""
TRAINING = ImageTrainingConfig(
    epochs=8, batch_size=128, learning_rate=2e-3, learning_rate_decay=0.7, pixels=GRAYSCALE, precision="bf16"
)
PRIOR = {"prior_width": 64, "prior_layers": 4, "classes": 10}
PRIOR_TRAINING = replace(TRAINING, epochs=5, learning_rate_rise=0.02, learning_rate_decay=0.9)
CLASSES, OF_EACH = 10, 10
AT_ONCE = 500
SHOWN = 12


def measure_vq_vae(seed: int) -> dict[str, Any]:
    """Error and use of the codebook of one level of 7 x 7 codes."""
    model, result = trained("vq-vae", ONE_LEVEL, seed)
    figures = _measured(model, result, seed)
    if seed == 0:
        save(codebook(_usage(model, mnist()[2])[0], caption="VQ-VAE, MNIST test, grayscale"), "vq-vae-codebook")
    return figures


def measure_vq_vae2(seed: int) -> dict[str, Any]:
    """Error of two levels at as many bits, trained for as many epochs."""
    model, result = trained("vq-vae-2", TWO_LEVELS, seed)
    return _measured(model, result, seed)


def measure_prior(kind: str, seed: int) -> dict[str, Any]:
    """Nats a code and bits an image of a class-conditional prior over the codes of the VQ-VAE of the same seed.

    Without the label an image costs -log sum over y of p(y) p(c | y), with p(y) as in the train part.
    """
    train, validation, test = mnist()
    model, _ = trained("vq-vae", ONE_LEVEL, seed)
    torch.manual_seed(seed)
    prior = model.add_prior(kind, **PRIOR)
    training = replace(PRIOR_TRAINING, seed=seed)
    result = fit_prior(
        model, train, training, validation=validation, checkpoint=_kept(f"{kind}-prior", seed), resume=True
    )
    codes, length = CodeSet.of(model, test), model.layout.length
    assert train.y is not None
    assert test.y is not None
    by_class = _log_probs(prior, codes.codes)
    given = by_class.gather(1, test.y[:, None]).squeeze(1)
    shares = torch.bincount(train.y, minlength=CLASSES).double() / len(train)
    marginal = torch.logsumexp(by_class + shares.log(), dim=1)
    started = time.process_time()
    drawn = model.sample(
        CLASSES * OF_EACH, torch.arange(CLASSES).repeat_interleave(OF_EACH), torch.Generator().manual_seed(seed)
    )
    sampling = time.process_time() - started
    if seed == 0:
        caption = f"VQ-VAE, MNIST, grayscale: samples by a class-conditional {kind} prior"
        figure = class_samples(drawn.unflatten(0, (CLASSES, OF_EACH)), list("0123456789"), caption=caption)
        save(figure, f"vq-vae-samples-{kind}")
    return {
        **mean_and_error(-marginal / length, "nats_per_code"),
        **mean_and_error(-marginal / math.log(2), "bits_per_image"),
        **mean_and_error(-given / length, "nats_per_code_given_class"),
        **mean_and_error(-given / math.log(2), "bits_per_image_given_class"),
        "bits_uniform": model.layout.bits,
        "bits_independent": _independent_bits(CodeSet.of(model, train).codes, codes.codes, ONE_LEVEL["codes"]),
        "label_accuracy": (by_class + shares.log()).argmax(dim=1).eq(test.y).double().mean().item(),
        "cpu_seconds_for_100_samples": round(sampling, 2),
        "parameters": sum(weight.numel() for weight in prior.parameters()),
        "epoch": result.epoch,
        "epochs": training.epochs,
        "validation_nats_given_class": result.validation_loss,
    }


def trained(name: str, settings: dict[str, Any], seed: int) -> tuple[VectorQuantized, ImageTrainingResult]:
    """A trained model: from its complete checkpoint where there is one, else trained now."""
    train, validation, _ = mnist()
    torch.manual_seed(seed)
    model = catalog.create(name, train.shape, catalog.configure(name, settings))
    assert isinstance(model, VectorQuantized)
    training = replace(TRAINING, seed=seed)
    result = train_images(model, train, training, validation=validation, checkpoint=_kept(name, seed), resume=True)
    return model, result


def _kept(name: str, seed: int) -> Path:
    path = home() / "benchmarks" / "images" / f"{name}-seed{seed}.checkpoint"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _measured(model: VectorQuantized, result: ImageTrainingResult, seed: int) -> dict[str, Any]:
    train, _, test = mnist()
    with torch.no_grad():
        outputs = torch.cat([model(test.floats(rows)) for rows in _batches(len(test))])
    errors = (outputs - test.floats()).square().mean(dim=(1, 2, 3))
    if seed == 0:
        name = catalog.name_of(model)
        caption = f"{name}, MNIST test, grayscale: {model.layout.bits:.0f} bits an image"
        figure = reconstructions(test.floats(slice(SHOWN)), outputs[:SHOWN].clamp(0, 1), caption=caption)
        save(figure, f"{name}-reconstructions")
    usages = [_usage(model, part) for part in (train, test)]
    return {
        **mean_and_error(errors, "mse"),
        **{
            f"codebook_{figure}_{part}": [round(of(usage), 4) for usage in found]
            for part, found in zip(("train", "test"), usages, strict=True)
            for figure, of in (("use", codebook_use), ("perplexity", perplexity))
        },
        "bits_per_image": model.layout.bits,
        "grids": model.layout.grids,
        "codes": model.layout.sizes,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "epoch": result.epoch,
        "epochs": TRAINING.epochs,
        "validation_loss": result.validation_loss,
        "pixels": result.pixels,
    }


def _usage(model: VectorQuantized, images: ImageSet) -> list[Tensor]:
    """How often each code stands for a place of some images, for each grid."""
    grids = model.layout.split(CodeSet.of(model, images).codes)
    return [torch.bincount(g.flatten(), minlength=size) for g, size in zip(grids, model.layout.sizes, strict=True)]


@torch.no_grad()
def _log_probs(prior: CodeDistribution, codes: Tensor) -> Tensor:
    """log p(c | y) of each row for each class, shape (n, classes), in float32."""
    columns = []
    for label in range(CLASSES):
        y = torch.full((AT_ONCE,), label)
        columns.append(torch.cat([prior.log_prob(codes[rows], y[: len(codes[rows])]) for rows in _batches(len(codes))]))
    return torch.stack(columns, dim=1).double()


def _independent_bits(train: Tensor, test: Tensor, size: int) -> float:
    """Bits of a test image when each place has a distribution of its own, counted on the train part, and no more."""
    counts = torch.stack([torch.bincount(place, minlength=size) for place in train.T]).double() + 0.5
    shares = counts / counts.sum(dim=1, keepdim=True)
    return -shares.log2().gather(1, test.T).sum(dim=0).mean().item()


def _batches(n: int) -> list[slice]:
    return [slice(start, min(start + AT_ONCE, n)) for start in range(0, n, AT_ONCE)]


RUNS: dict[str, Callable[[int], dict[str, Any]]] = {
    "vq-vae": timed(measure_vq_vae),
    "vq-prior-pixelcnn": timed(partial(measure_prior, "pixelcnn")),
    "vq-prior-transformer": timed(partial(measure_prior, "transformer")),
    "vq-vae-2": timed(measure_vq_vae2),
}


if __name__ == "__main__":
    measure_named(RUNS, __doc__)
