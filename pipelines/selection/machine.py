"""What this machine can do: how fast it multiplies."""

import time

import numpy as np

from recsys_vae.models.cost import Cost

SIDE = 512
USED = 0.2
"""Share of the speed of a large product that models reach, with all that is sparse in them."""


def operations_a_second() -> float:
    """Multiplications and additions in float32, of one product that has been done before."""
    square = np.ones((SIDE, SIDE), dtype=np.float32)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        square @ square
        seconds.append(time.perf_counter() - started)
    return float(2 * SIDE**3 / max(min(seconds), 1e-9))


def seconds_of(cost: Cost | None, speed: float) -> float | None:
    """Roughly how long it takes; None where the cost is not known."""
    return None if cost is None else cost.operations / (USED * speed)
