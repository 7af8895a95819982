"""The variational image models on MNIST and on generated shapes; `make bench-images` runs these among others.

    python -m tests.benchmarks.images_var [NAME ...] [--seed N] [--fresh]

Settings are chosen on the last 10,000 images of the train part; the test part is read once a reported model. Losses are
in nats an image, summed over pixels, with their standard error over test images. One thread a run.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from recsys_vae.images.analysis.bounds import importance_weighted_nll, negative_elbo
from recsys_vae.images.analysis.figures import class_samples
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.data.pixels import GRAYSCALE, static
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.images.training.loop import mean_loss
from recsys_vae.nn.gaussians import active_units
from tests.benchmarks.images_data import fit, mean_and_error, measure_named, minutes_since, mnist, save, timed
from tests.benchmarks.images_var_collapse import measure_collapse, measure_limited_decoder
from tests.benchmarks.images_var_gradients import measure_gradients
from tests.benchmarks.images_var_shapes import measure_beta_vae

STATIC_VAE = {"latent": 32, "hidden": "256-256"}
STATIC_TRAINING = ImageTrainingConfig(
    epochs=100, batch_size=128, learning_rate=2e-3, learning_rate_decay=1.0, precision="bf16"
)
CONV_VAE = {"latent": 32, "channels": 16}
CONV_EPOCHS = 40
IWAE_EPOCHS = 45
"""Of the importance-weighted run: as many as take no more processor time than the other's."""
GRAY_TRAINING = ImageTrainingConfig(epochs=7, batch_size=128, learning_rate=1e-3, pixels=GRAYSCALE, keep_best=False)
CONDITIONAL_TRAINING = ImageTrainingConfig(
    epochs=20, batch_size=128, learning_rate=2e-3, learning_rate_decay=1.0, precision="bf16"
)
CLASSES, OF_EACH = 10, 1_000
CONDITIONAL_VAE = {"latent": 4, "hidden": "256-256", "classes": CLASSES}
"""Few latents, so that draws from the prior fall where codes of real digits lie; a better bound takes more of them."""


def measure_vae(seed: int) -> dict[str, Any]:
    """ELBO and 500-sample NLL on static binarised MNIST, trained by the ELBO."""
    return _on_static_mnist(STATIC_VAE, STATIC_TRAINING, seed)


def measure_iwae(seed: int) -> dict[str, Any]:
    """The same model, trained by the bound of five importance samples within the same processor time."""
    return _on_static_mnist(STATIC_VAE | {"importance_samples": 5}, replace(STATIC_TRAINING, epochs=IWAE_EPOCHS), seed)


def measure_conv_vae(seed: int) -> dict[str, Any]:
    """The same bounds with convolutions in place of the dense layers."""
    return _on_static_mnist(CONV_VAE, replace(STATIC_TRAINING, epochs=CONV_EPOCHS), seed, name="conv-vae")


def _on_static_mnist(
    settings: dict[str, Any], training: ImageTrainingConfig, seed: int, name: str = "vae"
) -> dict[str, Any]:
    train, validation, test = mnist()
    started = time.process_time()
    model, result = fit(name, settings, replace(training, seed=seed), train, validation)
    minutes = minutes_since(started)
    x, generator = static(test).floats(), torch.Generator().manual_seed(seed)
    reconstruction, kl = negative_elbo(model, x, generator=generator)
    nll = importance_weighted_nll(model, x, samples=500, generator=generator)
    with torch.no_grad():
        units = active_units(model.encode(x))
    return {
        **mean_and_error(reconstruction + kl, "negative_elbo"),
        **mean_and_error(nll, "nll_500"),
        "reconstruction": reconstruction.mean().item(),
        "kl": kl.mean().item(),
        "active_units": units,
        "latent": model.config.latent,
        "epoch": result.epoch,
        "epochs": training.epochs,
        "validation_loss": result.validation_loss,
        "training_cpu_minutes": minutes,
        "pixels": result.pixels,
    }


def measure_gray_vae(seed: int) -> dict[str, Any]:
    """The loss of PyTorch's example: all 60,000 images, 784-400-20-400-784, 7 epochs, batches of 128, Adam at 1e-3."""
    return _on_gray_mnist(replace(GRAY_TRAINING, seed=seed))


def measure_gray_vae_decayed(seed: int) -> dict[str, Any]:
    """The same, but the learning rate starts at 2e-3 and falls linearly to 0."""
    return _on_gray_mnist(replace(GRAY_TRAINING, learning_rate=2e-3, learning_rate_decay=1.0, seed=seed))


def _on_gray_mnist(training: ImageTrainingConfig) -> dict[str, Any]:
    train, validation, test = mnist()
    whole = ImageSet(torch.cat([train.x, validation.x]))
    model, result = fit("vae", {"latent": 20, "hidden": "400"}, training, whole)
    measured = mean_loss(model, test, pixels=result.pixels, seed=training.seed)
    return {f"test_{name}": value for name, value in measured.items()} | {"pixels": result.pixels}


def measure_conditional_vae(seed: int) -> dict[str, Any]:
    """How many class-conditional samples a classifier, trained on real digits, takes for their class."""
    train, validation, test = mnist()
    model, result = fit("conditional-vae", CONDITIONAL_VAE, replace(CONDITIONAL_TRAINING, seed=seed), train, validation)
    classifier = _classifier(train, seed)
    y = torch.arange(CLASSES).repeat_interleave(OF_EACH)
    drawn = model.sample(len(y), y, torch.Generator().manual_seed(seed))
    right = (_classes(classifier, drawn) == y).float()
    if seed == 0:
        picture = drawn.view(CLASSES, OF_EACH, *drawn.shape[1:])[:, :12]
        caption = "Conditional VAE, static binarised MNIST: pixel means of samples, a class a row"
        save(class_samples(picture, [str(number) for number in range(CLASSES)], caption=caption), "conditional-vae")
    return {
        **mean_and_error(right, "recognised"),
        "recognised_by_class": right.view(CLASSES, OF_EACH).mean(dim=1).tolist(),
        "classifier_test_accuracy": (_classes(classifier, test.floats()) == test.y).float().mean().item(),
        "latent": model.config.latent,
        "validation_loss": result.validation_loss,
        "pixels": result.pixels,
    }


def _classifier(images: ImageSet, seed: int) -> nn.Module:
    """A small convolutional network on grey digits, two epochs."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, CLASSES)),
    )
    assert images.y is not None
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, fused=True)
    for _ in range(2):
        for rows in torch.randperm(len(images)).split(128):
            loss = nn.functional.cross_entropy(network(images.floats(rows)), images.y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


@torch.inference_mode()
def _classes(classifier: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([classifier(part).argmax(dim=1) for part in x.split(1_000)])


RUNS: dict[str, Callable[[int], dict[str, Any]]] = {
    "vae": timed(measure_vae),
    "iwae": timed(measure_iwae),
    "conv-vae": timed(measure_conv_vae),
    "gray-vae": timed(measure_gray_vae),
    "gray-vae-decayed": timed(measure_gray_vae_decayed),
    "beta-vae": timed(measure_beta_vae),
    "conditional-vae": timed(measure_conditional_vae),
    "collapse": timed(measure_collapse),
    "limited-decoder": timed(measure_limited_decoder),
    "gradients": timed(measure_gradients),
}


if __name__ == "__main__":
    measure_named(RUNS, __doc__)
