"""Settings that say nothing about this model and these data: whoever gave them is told."""

import math
from collections.abc import Iterator

from scipy.sparse import csr_array

from recsys_vae.models.configs.blend import named_parts, parts_of
from recsys_vae.models.weighting import WeightOptions, options_of
from recsys_vae.training.spec import ModelSpec


def idle_settings(
    spec: ModelSpec, interactions: csr_array, dislikes: csr_array | None, half_life: float
) -> Iterator[str]:
    """What has no effect, and what would.

    Args:
        spec: what is to be trained.
        interactions: weights of what it learns from, shape (n_users, n_items).
        dislikes: of these users; None where no rule says what they are.
        half_life: days in which weights halve; infinite where they stay.
    """
    configs = [spec.config, *(part.config for part in parts_of(spec.config))]
    if math.isfinite(half_life) and not spec.takes_weights:
        yield f"--history-half-life changes weights, which mean nothing to this model: {_weighing(spec)}."
    if spec.takes_weights and interactions.nnz and interactions.data.min() == interactions.data.max():
        yield "All interactions have the same weight: weights=log and weights=value are as weights=binary here."
    if any(options_of(config).counted for config in configs) and (dislikes is None or not dislikes.nnz):
        yield (
            "Nothing in this dataset speaks against an item, so that dislikes=... changes nothing. Name what does when "
            "it is ingested: --dislike KIND or --dislike-below VALUE."
        )


def _weighing(spec: ModelSpec) -> str:
    """How weights come to mean something."""
    parts = [name for name, part in named_parts(spec.config).items() if isinstance(part.config, WeightOptions)]
    settings = ["weights"] if isinstance(spec.config, WeightOptions) else [f"{name}.weights" for name in parts]
    if not settings:
        return f"{spec.name} takes no weights"
    return "give it " + " or ".join(f"--set {name}=value" for name in settings)
