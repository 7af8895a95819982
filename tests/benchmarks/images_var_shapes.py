"""beta-VAE on generated shapes: the mutual information gap (MIG) from beta = 1 upwards.

The 6,144 binary shapes of 32 x 32 pixels in three parts by a fixed draw: 4,096 to learn from, 1,024 to choose beta on
by the gap of their mean codes, and 1,024 on which the gap at beta = 1 and at the chosen beta is reported.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pipelines.images.shapes_dataset import FACTORS, generated_shapes
from recsys_vae.images.analysis.bounds import negative_elbo
from recsys_vae.images.analysis.disentanglement import mutual_information, mutual_information_gap
from recsys_vae.images.analysis.figures import traversals
from recsys_vae.images.data.image_set import ImageSet
from recsys_vae.images.layers.likelihood import pixel_means
from recsys_vae.images.models.variational import Variational
from recsys_vae.images.training.config import ImageTrainingConfig
from tests.benchmarks.images_data import fit, save

BETAS = (1.0, 2.0, 4.0, 8.0, 16.0)
MODEL = {"latent": 10, "hidden": "256-256"}
TRAINING = ImageTrainingConfig(
    epochs=80, batch_size=64, learning_rate=1e-3, learning_rate_decay=0.5, precision="bf16", keep_best=False
)
HELD_OUT, SPLIT_SEED = 1_024, 0
VALUES = [-2.0 + 0.5 * step for step in range(9)]
"""Of a latent in its traversal; the others stay at the mean code of one image."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the shapes and their factors."""

    images: ImageSet
    factors: Tensor

    def gap(self, model: Variational) -> float:
        """MIG of the model's mean codes."""
        return mutual_information_gap(self.codes(model).numpy(), self.factors.numpy())

    @torch.no_grad()
    def codes(self, model: Variational) -> Tensor:
        """Mean codes, shape (n, d)."""
        return model.encode(self.images.floats())


def measure_beta_vae(seed: int) -> dict[str, Any]:
    """MIG of every beta on validation, and of 1 and the best one on test."""
    train, validation, test = parts()
    training = replace(TRAINING, seed=seed)
    models = {beta: fit("beta-vae", MODEL | {"beta": beta}, training, train.images)[0] for beta in BETAS}
    gaps = {beta: validation.gap(model) for beta, model in models.items()}
    best = max(gaps, key=lambda beta: gaps[beta])
    if seed == 0:
        save(picture(models[best], best, validation), "beta-vae-traversals")
    return {
        "mig_by_beta_validation": gaps,
        "best_beta": best,
        "mig_beta1": test.gap(models[1.0]),
        "mig_best": test.gap(models[best]),
        "bounds_by_beta_validation": {beta: bounds(model, validation, seed) for beta, model in models.items()},
        "information_best": information(models[best], test),
        "pixels": "binary as generated",
    }


def parts() -> tuple[Part, Part, Part]:
    """Train, validation, test."""
    shapes = generated_shapes()
    order = torch.randperm(len(shapes.images), generator=torch.Generator().manual_seed(SPLIT_SEED))
    test, validation, train = order.split([HELD_OUT, HELD_OUT, len(order) - 2 * HELD_OUT])
    cut = [Part(shapes.images.only(rows), shapes.factors[rows]) for rows in (train, validation, test)]
    return cut[0], cut[1], cut[2]


def bounds(model: Variational, part: Part, seed: int) -> dict[str, float]:
    """Both parts of the ELBO at beta = 1, nats an image."""
    generator = torch.Generator().manual_seed(seed)
    reconstruction, kl = negative_elbo(model, part.images.floats(), generator=generator)
    return {"reconstruction": reconstruction.mean().item(), "kl": kl.mean().item()}


def information(model: Variational, part: Part) -> dict[str, list[float]]:
    """Mutual information in nats of each factor with every latent."""
    found = mutual_information(part.codes(model).numpy(), part.factors.numpy())
    return {name: found[:, place].round(3).tolist() for place, name in enumerate(FACTORS)}


@torch.no_grad()
def picture(model: Variational, beta: float, part: Part) -> Any:
    """Traversals of the latents that hold the most, from the code of one image."""
    dimensions = model.latent_kl(part.images.floats()).argsort(descending=True)[:6].tolist()
    codes = part.codes(model)[:1].repeat(len(dimensions) * len(VALUES), 1).view(len(dimensions), len(VALUES), -1)
    for row, dimension in enumerate(dimensions):
        codes[row, :, dimension] = torch.tensor(VALUES)
    images = pixel_means(model.config.likelihood, model.decode(codes.flatten(0, 1)))
    caption = f"beta-VAE, beta {beta:g}, generated shapes: one latent at a time, the largest KL first"
    return traversals(images.view(*codes.shape[:2], *images.shape[1:]), dimensions, VALUES, caption=caption)
