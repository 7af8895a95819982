"""Iterations of `implicit`'s alternating least squares, on demand. Runs in the peer's environment.

    .venv-peers-implicit/bin/python -m tests.benchmarks.peers.implicit_als SPLIT.npz START.npy

START.npy holds the item factors to begin with. A line {"confidence", "regularization", "cg", "iterations", "save"} goes
on from where the last one with these settings ended, and is answered with {"cpu_seconds"} of the iterations; `cg` is
implicit's default, three steps of conjugate gradients a row, else every row is solved exactly. `save`, where given,
names a file for the scores' two factors.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from tests.benchmarks.peers.exchange import read_split, serve


def begun(start: np.ndarray, n_users: int, job: dict[str, Any]) -> AlternatingLeastSquares:
    """A model whose first half-step, over the users, begins with these item factors."""
    model = AlternatingLeastSquares(
        factors=start.shape[1], regularization=job["regularization"], use_cg=job["cg"], num_threads=1
    )
    model.item_factors = start.copy()
    model.user_factors = np.zeros((n_users, start.shape[1]), dtype=np.float32)
    return model


def main() -> None:
    """Iterate until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path)
    parser.add_argument("start", type=Path)
    arguments = parser.parse_args()
    train, start = read_split(arguments.split).train, np.load(arguments.start)
    models: dict[tuple[Any, ...], tuple[AlternatingLeastSquares, csr_matrix]] = {}

    def iterate(job: dict[str, Any]) -> dict[str, Any]:
        key = (job["cg"], job["confidence"], job["regularization"])
        if key not in models:
            models[key] = (begun(start, train.shape[0], job), train * np.float32(job["confidence"]))
        model, confidence = models[key]
        model.iterations = job["iterations"]
        cpu = time.process_time()
        model.fit(confidence, show_progress=False)
        cpu = time.process_time() - cpu
        if job.get("save"):
            np.savez(job["save"], users=model.user_factors, items=model.item_factors)
        return {"cpu_seconds": cpu}

    with threadpoolctl.threadpool_limits(1, "blas"):  # as implicit asks for: its own threads do the work
        serve(iterate)


if __name__ == "__main__":
    main()
