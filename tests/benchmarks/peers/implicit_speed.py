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


def main() -> None:
    """Recommend until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path)
    parser.add_argument("--factors", type=int, default=128, help="dimension of the vectors")
    parser.add_argument("--threads", type=int, default=2, help="threads of implicit")
    arguments = parser.parse_args()
    train = read_split(arguments.split).train
    rng = np.random.default_rng(0)
    model = AlternatingLeastSquares(factors=arguments.factors, num_threads=arguments.threads)
    model.user_factors = rng.standard_normal((train.shape[0], arguments.factors), dtype=np.float32)
    model.item_factors = rng.standard_normal((train.shape[1], arguments.factors), dtype=np.float32)
    everyone = np.arange(train.shape[0])

    def recommend(times: int) -> dict[str, Any]:
        started = time.perf_counter()
        for _ in range(times):
            model.recommend(everyone, train, N=K, filter_already_liked_items=True)
        return {"users": times * everyone.size, "seconds": time.perf_counter() - started}

    with threadpoolctl.threadpool_limits(1, "blas"):  # as implicit asks for: its own threads do the work
        serve(recommend)


if __name__ == "__main__":
    main()
