"""Posterior collapse on purpose, and what each remedy brings and costs.

MNIST pooled to 4 x 4, pixels drawn once (static): small enough for the gated PixelCNN of a VAE of 10 latents to model
without a code. All runs see the same 20,000 images equally often and differ in one thing. Figures are of the 10,000
test images, in nats an image: ELBO, 50-sample importance-weighted NLL, KL; and active units. What a remedy costs is the
difference of its NLL to the collapsed model's, paired over images.
"""

from dataclasses import replace
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.figure import Figure

from recsys_vae.images.bounds import importance_weighted_nll, negative_elbo
from recsys_vae.images.variational import Variational
from recsys_vae.latent import active_units
from recsys_vae.plot_style import OURS, STYLE, colour
from recsys_vae.training.image_config import ImageTrainingConfig
from tests.benchmarks.images_var_data import fit, mean_and_error, mnist, pooled, save

MODEL: dict[str, Any] = {"latent": 10, "hidden": 200, "width": 16, "decoder_layers": 2, "kernel": 5}
TRAINING = ImageTrainingConfig(
    epochs=6, batch_size=64, learning_rate=2e-3, learning_rate_decay=0.5, precision="bf16", keep_best=False
)
IMAGES, SIDE = 20_000, 7
COLLAPSED = "none"
REMEDIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    COLLAPSED: ({}, {}),
    "linear annealing": ({}, {"kl_anneal": 1.0}),
    "cyclical annealing": ({}, {"kl_anneal": 1.0, "kl_cycles": 4}),
    "free bits 0.1": ({"free_bits": 0.1}, {}),
    "free bits 0.5": ({"free_bits": 0.5}, {}),
    "limited decoder": ({"decoder_layers": 1, "kernel": 1}, {}),
}
"""What each changes: of the model, and of the training."""


def measure_collapse(seed: int) -> dict[str, Any]:
    """Every remedy's figures."""
    train, _, test = (pooled(images, SIDE) for images in mnist())
    x, found, kls, nlls = test.floats(), {}, {}, {}
    for name, (of_model, of_training) in REMEDIES.items():
        training = replace(TRAINING, seed=seed, **of_training)
        model, _ = fit("pixelcnn-vae", MODEL | of_model, training, train.only(slice(IMAGES)))
        generator = torch.Generator().manual_seed(seed)
        nlls[name] = importance_weighted_nll(model, x, samples=50, generator=generator)
        kls[name] = model.latent_kl(x).sort(descending=True).values
        found[name] = figures(model, x, generator) | mean_and_error(nlls[name], "nll")
        found[name] |= mean_and_error(nlls[name] - nlls[COLLAPSED], "nll_over_collapsed")
    if seed == 0:
        save(plot(kls, found), "posterior-collapse")
    return {"remedies": found, "kl_by_dimension": {name: kl.tolist() for name, kl in kls.items()}}


@torch.no_grad()
def figures(model: Variational, x: torch.Tensor, generator: torch.Generator) -> dict[str, float]:
    """The ELBO, its parts, and active units."""
    reconstruction, kl = negative_elbo(model, x, generator=generator)
    return {
        **mean_and_error(reconstruction + kl, "negative_elbo"),
        "reconstruction": reconstruction.mean().item(),
        "kl": kl.mean().item(),
        "active_units": active_units(model.encode(x)),
    }


def plot(kls: dict[str, torch.Tensor], found: dict[str, dict[str, float]]) -> Figure:
    """KL of each latent under each remedy, and the ELBO taken apart."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.6), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2)
        for place, (name, kl) in enumerate(kls.items()):
            left.plot(range(1, len(kl) + 1), kl, marker=".", color=colour(place), label=name)
        left.set(xlabel="latents, by KL", ylabel="KL, nats", title="what each latent holds")
        left.legend(fontsize=8)
        places = range(len(found))
        reconstructions = [values["reconstruction"] for values in found.values()]
        right.barh(places, reconstructions, color=OURS, label="reconstruction")
        right.barh(
            places, [values["kl"] for values in found.values()], left=reconstructions, color=colour(1), label="KL"
        )
        right.set_yticks(places, list(found))
        right.invert_yaxis()
        right.set(xlabel="nats an image (test)", title="minus the ELBO, taken apart")
        right.legend(fontsize=8, loc="lower left")
    return figure
