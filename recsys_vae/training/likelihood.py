"""Which way of computing the likelihood suits a catalogue."""

import numpy as np
import torch
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError
from recsys_vae.models.trainable import Trainable
from recsys_vae.native import adam
from recsys_vae.nn.objective import Likelihood
from recsys_vae.nn.sampled_softmax import SampledSoftmax
from recsys_vae.nn.softmax import chunked_nll, exact_nll
from recsys_vae.nn.sparse_layers import SparseLinear
from recsys_vae.training.config import MOST_ITEMS, TrainingConfig

MOST_LOGITS = 1 << 28
"""Logits a step above which `auto` does not hold them all: 512 MiB in bfloat16."""


def choose_likelihood(
    config: TrainingConfig, interactions: csr_array, device: torch.device, generator: torch.Generator | None
) -> Likelihood:
    """The likelihood that the configuration names; under `auto`, the first of the three that fits the catalogue.

    Raises:
        ConfigError: item tables are to be shared out, and it looks at all of them.
    """
    name = config.likelihood
    n_items = interactions.shape[1]
    if config.samples_items(n_items):
        name = "sampled"
    elif name == "auto":
        name = "chunked" if config.batch_size * n_items > MOST_LOGITS else "exact"
    if config.shard_items and name != "sampled":
        raise ConfigError(
            f"shard_items wants the sampled likelihood, which auto takes above {MOST_ITEMS:,} items, and here are "
            f"{n_items:,}. Train with likelihood=sampled, or leave shard_items out."
        )
    if name == "sampled":
        counts = torch.from_numpy(np.bincount(interactions.indices, minlength=n_items)).to(device)
        return SampledSoftmax(counts, config.negatives, generator)
    return chunked_nll if name == "chunked" else exact_nll


def suits_rows(model: Trainable, interactions: csr_array, batch_size: int) -> bool:
    """Whether a step touches so few rows of the first layer that moving these alone is faster, and is compiled.

    A GPU moves whole matrices in less time than it takes to find the rows.
    """
    entries = batch_size * interactions.nnz / interactions.shape[0]
    return entries < interactions.shape[1] and all(adam.suits(layer.weight) for layer in first_layers(model))


def learn_by_rows(model: Trainable) -> None:
    """Let the first layers give sparse gradients, as a sampled likelihood does for the last one."""
    for layer in first_layers(model):
        layer.sparse_gradient = True


def first_layers(model: Trainable) -> list[SparseLinear]:
    """The layers that take histories: sparse rows over all items."""
    layers = [layer for layer in model.modules() if isinstance(layer, SparseLinear)]
    return [layer for layer in layers if layer.n_items == model.n_items]
