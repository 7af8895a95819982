"""One catalogue size: trains some steps on made-up logs and prints users/s and peak memory as one line of JSON.

    python -m tests.benchmarks.scaling N_ITEMS

Up to 100,000 items with the paper's widths and every item in the likelihood; above, with ends of 128 and a sampled one.
"""

import json
import resource
import sys

import numpy as np
import torch
from scipy.sparse import csr_array

from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.loop import train

USERS, LENGTH, BATCH = 6_144, 50, 512
LARGEST_EXACT = 100_000


def made_up_log(n_items: int) -> csr_array:
    """Users with up to 50 items each, drawn with probabilities that fall as 1 / rank."""
    rng = np.random.default_rng(0)
    ranks = np.exp(rng.random((USERS, LENGTH)) * np.log(n_items)).astype(np.int64) - 1
    scattered = ranks * 7_919 % n_items
    rows = np.repeat(np.arange(USERS), LENGTH)
    matrix = csr_array((np.ones(rows.size, np.float32), (rows, scattered.ravel())), shape=(USERS, n_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def measure(n_items: int) -> dict[str, object]:
    """Train two epochs; the second one is timed."""
    torch.manual_seed(0)
    large = n_items > LARGEST_EXACT
    config = MultVAEConfig(hidden=128, latent=64) if large else MultVAEConfig()
    training = TrainingConfig(epochs=2, batch_size=BATCH, likelihood="sampled" if large else "exact")
    result = train(MultVAE(n_items, config), made_up_log(n_items), training)
    return {
        "items": n_items,
        "hidden": config.hidden,
        "likelihood": training.likelihood,
        "users_per_second": result.history[-1]["users_per_second"],
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
