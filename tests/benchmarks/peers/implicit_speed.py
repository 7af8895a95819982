"""The top 100 for every user by `implicit`, on demand. Runs in the peer's environment.

    .venv-peers-implicit/bin/python -m tests.benchmarks.peers.implicit_speed SPLIT.npz --factors 128

A line `N` recommends to all training users N times over, seen items removed, by `AlternatingLeastSquares.recommend`,
and is answered with {"users", "seconds"} of all of them together. Factors are random: what they hold does not change
the work.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from implicit.cpu.als import AlternatingLeastSquares

from tests.benchmarks.peers.exchange import K, read_split, serve


def random_model(n_users: int, n_items: int, factors: int, threads: int) -> AlternatingLeastSquares:
    """A model with vectors of the size asked for."""
    rng = np.random.default_rng(0)
    model = AlternatingLeastSquares(factors=factors, num_threads=threads)
    model.user_factors = rng.standard_normal((n_users, factors), dtype=np.float32)
    model.item_factors = rng.standard_normal((n_items, factors), dtype=np.float32)
    return model


def main() -> None:
    """Recommend until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path)
    parser.add_argument("--factors", type=int, default=128, help="dimension of the vectors")
    parser.add_argument("--threads", type=int, default=2, help="threads of implicit")
    arguments = parser.parse_args()
    train = read_split(arguments.split).train
    everyone = np.arange(train.shape[0])
    with threadpoolctl.threadpool_limits(1, "blas"):  # as implicit asks for: its own threads do the work
        model = random_model(*train.shape, arguments.factors, arguments.threads)

        def recommend(times: int) -> dict[str, Any]:
            started = time.perf_counter()
            for _ in range(times):
                model.recommend(everyone, train, N=K, filter_already_liked_items=True)
            return {"users": times * everyone.size, "seconds": time.perf_counter() - started}

        serve(recommend)


if __name__ == "__main__":
    main()
