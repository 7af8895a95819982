"""iALS (Hu, Koren & Volinsky 2008) as `implicit` computes it. Runs in the peer's environment.

    .venv-peers-implicit/bin/python -m tests.benchmarks.peers.implicit_models SPLIT.npz

Each line of standard input is a job, {"settings", "iterations", "seed", "lists"}; each is answered with one line.
`iterations` lists when to ask the validation users; `fit` goes on from the factors it has, until asking again brings
nothing. Held-out users are folded in by implicit's own `recommend(recalculate_user=True)`, which solves their factors
exactly.
"""

import argparse
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import implicit
import numpy as np
import threadpoolctl
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from tests.benchmarks.peers.exchange import K, PeerSplit, ndcg, read_split, serve


def lists_of(model: AlternatingLeastSquares, histories: csr_matrix) -> NDArray[np.int64]:
    """Best unseen items of users outside the training data, shape (n, 100)."""
    everyone = np.arange(histories.shape[0])
    items, _ = model.recommend(everyone, histories, N=K, filter_already_liked_items=True, recalculate_user=True)
    return items.astype(np.int64)


def run(job: dict[str, Any], split: PeerSplit) -> dict[str, Any]:
    """Fit one model and answer with its validation value after each of the stops; write its last test lists."""
    model = AlternatingLeastSquares(**job["settings"], random_state=job["seed"], num_threads=job.get("threads", 1))
    values: dict[int, float] = {}
    seconds, cpu = 0.0, time.process_time()
    for done, wanted in pairwise([0, *job["iterations"]]):
        model.iterations = wanted - done
        started = time.perf_counter()
        model.fit(split.train, show_progress=False)
        seconds += time.perf_counter() - started
        values[wanted] = ndcg(lists_of(model, split.validation_histories), split.validation_targets)
        if values[wanted] < max(values.values()):
            break
    if job.get("lists"):
        np.save(job["lists"], lists_of(model, split.test_histories))
    best = max(values, key=lambda stop: values[stop])
    return {
        "validation_ndcg@100": values[best],
        "best_iterations": best,
        "validation_by_iterations": values,
        "training_seconds": round(seconds, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "versions": {"implicit": implicit.__version__, "numpy": np.__version__},
    }


def main() -> None:
    """Answer jobs until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("split", type=Path)
    split = read_split(parser.parse_args().split)
    with threadpoolctl.threadpool_limits(1, "blas"):  # as implicit asks for: its own threads do the work
        serve(lambda job: run(job, split))


if __name__ == "__main__":
    main()
