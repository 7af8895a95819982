"""What is tried on validation for each peer: fixed draws, so that the search can be repeated to the letter."""

from typing import Any

import numpy as np

Settings = dict[str, Any]

EASE_L2 = (50, 100, 200, 300, 500, 750, 1000, 1500, 2000)
"""The grid of our own EASE."""

IALS_STOPS = (5, 10, 15, 20, 30)
IALS_FINE_STOPS = (2, 3, 4, 5, 6, 7, 8, 10, 12)
"""Iterations after which validation is asked: in the first two rounds, in the last."""

# Batches of 256 users for all: RecBole's 2,048 are 3 steps an epoch here and came out lower on validation (.4001,
# not .4046, all else at its defaults). And candidates can be ranked after a few epochs only where all have
# done equally many steps.
MULTI_VAE: dict[str, tuple[Any, ...]] = {
    "learning_rate": (1e-3, 2e-3, 4e-3),
    "dropout_prob": (0.3, 0.5, 0.7),
    "anneal_cap": (0.1, 0.2, 0.5),
    "total_anneal_steps": (500, 2000, 200_000),
    "latent_dimension": (128, 400),
    "train_batch_size": (256,),
}
REC_VAE: dict[str, tuple[Any, ...]] = {
    "learning_rate": (5e-4, 1e-3, 2e-3),
    "dropout_prob": (0.5, 0.7),
    "gamma": (0.0035, 0.005, 0.01),
    "train_batch_size": (256,),
}


def drawn(space: dict[str, tuple[Any, ...]], n: int) -> list[Settings]:
    """n different combinations of a space, drawn evenly."""
    rng = np.random.default_rng(0)
    found: list[Settings] = []
    while len(found) < n:
        settings = {name: values[rng.integers(len(values))] for name, values in space.items()}
        if settings not in found:
            found.append(settings)
    return found


def ials(n: int = 30) -> list[Settings]:
    """Factors, regularization and alpha of iALS, the latter two evenly on a log scale.

    Wide on purpose: implicit adds the same regularization to every row, where Rendle et al. (2022) scale it by
    frequency, so good values lie far above the default of 0.01, and grow with the factors.
    """
    rng = np.random.default_rng(0)
    return [
        {
            "factors": int(rng.choice([64, 128, 256, 512])),
            "regularization": round(float(10 ** rng.uniform(-1, 3)), 3),
            "alpha": round(float(10 ** rng.uniform(0, 2)), 2),
        }
        for _ in range(n)
    ]


def ials_near(best: Settings, n: int = 15, spread: float = 2.0, seed: int = 1) -> list[Settings]:
    """A further round, within a factor of `spread` of the best so far, and half or twice its factors."""
    rng = np.random.default_rng(seed)

    def near(value: float) -> float:
        return round(value * float(spread ** rng.uniform(-1, 1)), 3)

    around = [best["factors"] // 2, best["factors"], best["factors"] * 2]
    return [
        {
            "factors": int(rng.choice(around)),
            "regularization": near(best["regularization"]),
            "alpha": near(best["alpha"]),
        }
        for _ in range(n)
    ]
