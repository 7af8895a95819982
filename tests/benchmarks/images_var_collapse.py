"""Posterior collapse on purpose, and what each remedy brings and costs.

MNIST pooled to 4 x 4, pixels drawn once (static): small enough for the gated PixelCNN of a VAE of 10 latents to model
without a code. All runs see the same 20,000 images equally often and differ in one thing. Figures are of the 10,000
test images, in nats an image: ELBO, 50-sample importance-weighted NLL, KL; and active units. What a remedy costs is the
difference of its NLL to the collapsed model's, paired over images.

On so small a picture two neighbours tell a pixel nearly all, and a limited decoder collapses too. What it does where
more is to be told is measured on MNIST pooled to 7 x 7, all 50,000 images, NLL of 2,000 test images.
"""

from dataclasses import replace
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.figure import Figure

from recsys_vae.images.analysis.bounds import importance_weighted_nll, negative_elbo
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.models.variational import Variational
from recsys_vae.images.training.config import ImageTrainingConfig
from recsys_vae.nn.gaussians import active_units
from recsys_vae.plot_style import MARKERS, OURS, STYLE, colour
from tests.benchmarks.images_data import fit, mean_and_error, mnist, pooled, save

MODEL: dict[str, Any] = {"latent": 10, "hidden": 200, "width": 16, "decoder_layers": 2, "kernel": 5}
TRAINING = ImageTrainingConfig(
    epochs=6, batch_size=64, learning_rate=2e-3, learning_rate_decay=0.5, precision="bf16", keep_best=False
)
IMAGES, SIDE = 20_000, 7
COLLAPSED = "none"
Remedies = dict[str, tuple[dict[str, Any], dict[str, Any]]]
REMEDIES: Remedies = {
    COLLAPSED: ({}, {}),
    "linear annealing": ({}, {"kl_anneal": 1.0}),
    "cyclical annealing": ({}, {"kl_anneal": 1.0, "kl_cycles": 4}),
    "free bits 0.1": ({"free_bits": 0.1}, {}),
    "free bits 0.5": ({"free_bits": 0.5}, {}),
    "limited decoder": ({"decoder_layers": 1, "kernel": 1}, {}),
}
"""What each changes: of the model, and of the training."""
LARGER_SIDE, LARGER_TEST = 4, 2_000
LARGER_TRAINING = replace(TRAINING, epochs=4, batch_size=128, learning_rate=4e-3, learning_rate_decay=0.8)
WIDE: dict[str, Any] = {"decoder_layers": 3, "kernel": 5}


def measure_collapse(seed: int) -> dict[str, Any]:
    """Every remedy's figures."""
    train, _, test = (pooled(images, SIDE) for images in mnist())
    found, kls = compared(REMEDIES, replace(TRAINING, seed=seed), train.only(slice(IMAGES)), test)
    if seed == 0:
        save(plot(kls, found), "posterior-collapse")
    return {"remedies": found, "kl_by_dimension": kls}


def measure_limited_decoder(seed: int) -> dict[str, Any]:
    """A decoder that sees the whole picture against one that sees two neighbours, on larger pictures."""
    train, _, test = (pooled(images, LARGER_SIDE) for images in mnist())
    remedies = {name: (WIDE | REMEDIES[name][0], {}) for name in (COLLAPSED, "limited decoder")}
    training = replace(LARGER_TRAINING, seed=seed)
    found, kls = compared(remedies, training, train, test.only(slice(LARGER_TEST)))
    return {"remedies": found, "kl_by_dimension": kls}


def compared(
    remedies: Remedies, shared: ImageTrainingConfig, train: ImageSet, test: ImageSet
) -> tuple[dict[str, dict[str, float]], dict[str, list[float]]]:
    """Figures of each remedy, and the KL of each latent, the largest first."""
    x, found, kls, nlls = test.floats(), {}, {}, {}
    for name, (of_model, of_training) in remedies.items():
        model, _ = fit("pixelcnn-vae", MODEL | of_model, replace(shared, **of_training), train)
        generator = torch.Generator().manual_seed(shared.seed)
        nlls[name] = importance_weighted_nll(model, x, samples=50, generator=generator)
        kls[name] = model.latent_kl(x).sort(descending=True).values.tolist()
        found[name] = figures(model, x, generator) | mean_and_error(nlls[name], "nll")
        found[name] |= mean_and_error(nlls[name] - nlls[COLLAPSED], "nll_over_collapsed")
    return found, kls


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


def plot(kls: dict[str, list[float]], found: dict[str, dict[str, float]]) -> Figure:
    """KL of each latent under each remedy, and the ELBO taken apart."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.6, 4.0), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2)
        for place, (name, kl) in enumerate(kls.items()):
            left.plot(range(1, len(kl) + 1), kl, marker=MARKERS[place], markersize=4, color=colour(place), label=name)
        left.set(xlabel="latents, by KL", ylabel="KL, nats", title="what each latent holds")
        reconstructions = [values["reconstruction"] for values in found.values()]
        kl_of_each = [values["kl"] for values in found.values()]
        places = range(len(found))
        right.barh(places, reconstructions, color=OURS, label="reconstruction")
        right.barh(places, kl_of_each, left=reconstructions, color=colour(1), label="KL")
        right.set_yticks(places, list(found))
        right.invert_yaxis()
        right.set(xlabel="nats an image (test)", title="minus the ELBO, taken apart")
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=8)
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=2, fontsize=8)
    return figure
