"""Training of other models beside its bound: the matrix products that a step cannot do without, and nothing else.

Products run at the rate that this machine multiplies such matrices, in the type that the model multiplies in; sums over
the entries of histories count as products of as many operations. Reading and writing weights, normalising, the softmax
and the optimizer count as nothing. All of Gowalla's items, default settings, batches of 512, turn by turn.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from recsys_vae.models.conditional_vae import ConditionalVAE, ConditionalVAEConfig
from recsys_vae.models.edlae import EDLAE, EDLAEConfig
from recsys_vae.models.elsa import ELSA, ELSAConfig
from recsys_vae.models.rec_vae import DENSE_LAYERS, RecVAE, RecVAEConfig
from recsys_vae.models.trainable import Trainable
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.device import choose_device, choose_precision
from recsys_vae.training.loop import train
from recsys_vae.training.tracking import NoTracker
from tests.benchmarks.closed_forms import product_speed
from tests.benchmarks.dense_reference import BATCH, most_popular

STEPS, ROUNDS = 12, 5
N_FEATURES = 20
EDLAE_ITEMS = 10_000


class Epochs(NoTracker):
    """Times epochs, and measures the rate of products between them."""

    def __init__(self, rate: Callable[[], float]) -> None:
        self._rate = rate
        self._started = 0.0
        self.seconds: list[float] = []
        self.rates: list[float] = []

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """An epoch is over."""
        self.seconds.append(time.perf_counter() - self._started)
        self.rates.append(self._rate())
        self._started = time.perf_counter()


def product_rate(dtype: torch.dtype, inner: int) -> Callable[[], float]:
    """Measures operations a second of a batch's rows with part of the catalogue."""
    left, right = torch.randn(BATCH, inner).to(dtype), torch.randn(4096, inner).to(dtype)

    def rate() -> float:
        operations, started = 0, time.perf_counter()
        while (taken := time.perf_counter() - started) < 0.5:
            left @ right.T
            operations += 2 * BATCH * inner * len(right)
        return operations / taken

    return rate


def rec_vae(n_items: int, entries: float, config: RecVAEConfig) -> float:
    """Operations for a user and epoch, averaged over a round.

    While the encoder learns, the output layer gives logits and the gradient of the code, and half of the entries are
    dropped; while the decoder learns, logits and its gradient. The old encoder is asked in the first alone.
    """
    layers = DENSE_LAYERS * config.hidden**2 + 2 * config.hidden * config.latent
    asked = 2 * entries * config.hidden + 2 * layers
    encoder = 2 * (1 - config.dropout) * 2 * entries * config.hidden + 6 * layers + asked
    passes = config.encoder_passes
    return 4 * config.latent * n_items + (passes * encoder + asked) / (passes + 1)


def conditional_vae(n_items: int, entries: float, config: ConditionalVAEConfig) -> float:
    """Operations for a user and epoch: Mult-VAE's with a prior of two more layers."""
    layers = 3 * config.hidden * config.latent + 2 * config.prior_hidden * config.latent
    return 6 * config.hidden * n_items + 6 * layers + 4 * entries * config.hidden


def elsa(n_items: int, entries: float, config: ELSAConfig) -> float:
    """Operations for a user and epoch: sums of factors, a step's Gram matrix, half as it is symmetric, its gradient."""
    gram = (1 + 2) * n_items * config.factors**2 / BATCH
    return 4 * entries * config.factors + gram + 6 * config.factors**2


def share(
    model: Trainable, interactions: csr_array, operations: float, dtype: torch.dtype, inner: int
) -> dict[str, Any]:
    """Users a second of some epochs, those of the bound, and their ratio.

    Args:
        operations: for a user and epoch.
        inner: width of the products whose rate is measured.
    """
    some = interactions[: BATCH * STEPS]
    a_round = model.epochs_a_round
    epochs = Epochs(product_rate(dtype, inner))
    features = np.random.default_rng(0).integers(0, N_FEATURES, some.shape[0])
    metadata = csr_array((np.ones(len(features), np.float32), (np.arange(len(features)), features)))
    takes = {"metadata": metadata} if isinstance(model, ConditionalVAE) else {}
    training = TrainingConfig(epochs=1 + ROUNDS * a_round, batch_size=BATCH, kl_weight=0.1)
    train(model, some, training, tracker=epochs, **takes)
    rounds = np.array(epochs.seconds[1:]).reshape(ROUNDS, a_round).mean(axis=1)
    bounds = np.array(epochs.rates[1:]).reshape(ROUNDS, a_round).mean(axis=1) / operations
    users = some.shape[0] / rounds
    return {
        "users_per_second": {"ours": float(np.median(users)), "bound": float(np.median(bounds))},
        "rounds": {"ours": users.tolist(), "bound": bounds.tolist()},
        "bound_share": float(np.median(users / bounds)),
        "items": some.shape[1], "batch": BATCH, "threads": torch.get_num_threads(), "dtype": str(dtype),
    }  # fmt: skip


def measure_rec_vae(interactions: csr_array) -> dict[str, Any]:
    """RecVAE."""
    n_items, entries, config = *_shape(interactions), RecVAEConfig()
    dtype = choose_precision("auto", choose_device())
    return share(RecVAE(n_items, config), interactions, rec_vae(n_items, entries, config), dtype, config.latent)


def measure_conditional_vae(interactions: csr_array) -> dict[str, Any]:
    """The conditional VAE with 20 groups of users."""
    n_items, entries, config = *_shape(interactions), ConditionalVAEConfig(metadata=(N_FEATURES,))
    dtype = choose_precision("auto", choose_device())
    operations = conditional_vae(n_items, entries, config)
    return share(ConditionalVAE(n_items, config), interactions, operations, dtype, config.hidden)


def measure_elsa(interactions: csr_array) -> dict[str, Any]:
    """ELSA, which computes in float32."""
    n_items, entries, config = *_shape(interactions), ELSAConfig()
    return share(ELSA(n_items, config), interactions, elsa(n_items, entries, config), torch.float32, config.factors)


def measure_edlae(interactions: csr_array) -> dict[str, Any]:
    """EDLAE on the most popular items: n^3 operations in float64, in processor time; no users a second."""
    popular = most_popular(interactions, EDLAE_ITEMS)
    n_items, speed = popular.shape[1], product_speed()
    model = EDLAE(n_items, EDLAEConfig())
    started = time.process_time()
    model.fit(popular)
    seconds = time.process_time() - started
    bound = n_items**3 / ((speed + product_speed()) / 2)
    return {"cpu_seconds": seconds, "bound_seconds": bound, "bound_share": bound / seconds, "items": n_items}


def _shape(interactions: csr_array) -> tuple[int, float]:
    return interactions.shape[1], interactions.nnz / interactions.shape[0]
