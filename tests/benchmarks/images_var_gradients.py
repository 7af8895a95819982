"""The reparameterization trick against the score function: how much one-sample gradients vary.

A VAE (784-200-d-200-784, Bernoulli) learns static binarised MNIST for two epochs of 20,000 images. The gradient of its
expected reconstruction in the posterior's mean is estimated 2,000 times for each of 20 validation images, by every
estimator; figures are the variance summed over latent dimensions, averaged over images: by dimension d after training,
and over the training at d = 20.
"""

from functools import partial
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.figure import Figure

from recsys_vae.images.analysis.estimators import ESTIMATORS, gradient_draws, total_variance
from recsys_vae.images.data.pixels import static
from recsys_vae.images.models.vae import VAE
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.plot_style import MARKERS, STYLE, colour
from tests.benchmarks.images_data import fit, mnist, save

LATENTS, AT = (2, 5, 10, 20, 50), 20
EPOCHS = (0, 1, 2, 4)
IMAGES, DRAWS = 20, 2_000

Variances = dict[str, float]


def measure_gradients(seed: int) -> dict[str, Any]:
    """Variance by estimator and latent dimension, and by estimator and epoch."""
    by_latent = {latent: variances(trained(seed, latent, 2), seed) for latent in LATENTS}
    by_epoch = {epoch: variances(trained(seed, AT, epoch), seed) for epoch in EPOCHS}
    if seed == 0:
        save(plot(by_latent, by_epoch), "gradient-variance")
    ratios = {latent: found["score function"] / found["reparameterization"] for latent, found in by_latent.items()}
    return {"by_latent": by_latent, "by_epoch": by_epoch, "score_function_over_reparameterization": ratios}


def trained(seed: int, latent: int, epochs: int) -> VAE:
    """A small VAE after some epochs; fresh after none."""
    train = static(mnist()[0].only(slice(20_000)))
    settings = {"latent": latent, "hidden": "200"}
    rate = 1e-3 if epochs else 1e-12
    training = ImageTrainingConfig(epochs=max(epochs, 1), learning_rate=rate, precision="bf16", seed=seed)
    model = fit("vae", settings, training, train)[0]
    assert isinstance(model, VAE)
    return model


def variances(model: VAE, seed: int) -> Variances:
    """Of every estimator, averaged over validation images."""
    x = static(mnist()[1].only(slice(IMAGES))).floats()
    generator = torch.Generator().manual_seed(seed)
    found = dict.fromkeys(ESTIMATORS, 0.0)
    for image in x.unsqueeze(1):
        with torch.no_grad():
            posterior = model.posterior(image)
        value = partial(_reconstruction, model, image)
        for name in ESTIMATORS:
            estimates = gradient_draws(value, posterior, name, draws=DRAWS, generator=generator)
            found[name] += total_variance(estimates) / IMAGES
    return found


def _reconstruction(model: VAE, image: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return model.reconstruction(image.expand(len(z), -1, -1, -1), z)


def plot(by_latent: dict[int, Variances], by_epoch: dict[int, Variances]) -> Figure:
    """Both, on logarithmic scales of variance."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.0, 3.4), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2, sharey=True)
        panels = ((left, by_latent, "latent dimensions"), (right, by_epoch, f"epochs of training, {AT} latents"))
        for axes, found, label in panels:
            for place, name in enumerate(ESTIMATORS):
                values = [variance[name] for variance in found.values()]
                axes.plot(list(found), values, color=colour(place), marker=MARKERS[place], label=name)
            axes.set(xlabel=label, yscale="log")
        left.set_ylabel("variance of the gradient")
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure
