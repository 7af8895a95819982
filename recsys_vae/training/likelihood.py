"""Which way of computing the likelihood suits a catalogue."""

import numpy as np
import torch
from scipy.sparse import csr_array

from recsys_vae.models.layers import SparseLinear
from recsys_vae.models.losses import Likelihood
from recsys_vae.models.sampled_softmax import SampledSoftmax
from recsys_vae.models.softmax import chunked_nll, exact_nll
from recsys_vae.models.trainable import Trainable
from recsys_vae.training.config import TrainingConfig

MOST_LOGITS = 1 << 28
"""Logits a step above which `auto` does not hold them all: 512 MiB in bfloat16."""
MOST_ITEMS = 300_000
"""Items above which `auto` samples."""


def choose_likelihood(
    config: TrainingConfig, interactions: csr_array, device: torch.device, generator: torch.Generator
) -> Likelihood:
    """The likelihood that the configuration names; under `auto`, the first of the three that fits the catalogue."""
    name = config.likelihood
    n_items = interactions.shape[1]
    if name == "auto":
        name = "sampled" if n_items > MOST_ITEMS else "exact"
        if name == "exact" and config.batch_size * n_items > MOST_LOGITS:
            name = "chunked"
    if name == "sampled":
        counts = torch.from_numpy(np.bincount(interactions.indices, minlength=n_items)).to(device)
        return SampledSoftmax(counts, config.negatives, generator)
    return chunked_nll if name == "chunked" else exact_nll


def learn_by_rows(model: Trainable) -> None:
    """Let the first layers give sparse gradients, as a sampled likelihood does for the last one."""
    for layer in model.modules():
        if isinstance(layer, SparseLinear):
            layer.sparse_gradient = True
