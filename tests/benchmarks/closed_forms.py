"""EASE beside its bound, and the graph filter beside another build and its authors' way.

`python -m tests.benchmarks.closed_forms`, on the most popular items of Gowalla, which lies in RECSYS_DATA_DIR.

- ease: processor time of a fit, of which n^3 operations at the speed of float64 products on the same threads (n^3 / 3
  of the factor, 2 n^3 / 3 of the inverse) are a share; peak memory above that before the fit, as a share of B.
- rk4: BSPM as published for Gowalla. Fit in processor time, peak memory above that before it, scores of some users.
  `--today DIR` is a checkout of the build to compare with, ffa1935e for the figures in docs/benchmarks.md; by turns,
  each in a process of its own.
- authors: their way on a CPU (github.com/jeongwhanchoi/BSPM): a truncated SVD by Lanczos, then, for batches of users,
  each derivative as two products of a dense batch with the sparse matrix. Some users, scaled up to all.

Times are of processors, so that other work beside does not count.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from recsys_vae.models.ease import EASE, EASEConfig
from recsys_vae.models.graph_filter import GraphFilter, GraphFilterConfig

BENCHMARK = "closed_forms"
RANK, LOW_PASS, TIME = 448, 0.2, 2.5
USERS, BATCH = 512, 100


def gowalla(n_items: int) -> csr_array:
    """Training pairs of the most popular items; 0 for all."""
    pairs = pl.read_parquet(Path(os.environ["RECSYS_DATA_DIR"]) / "gowalla" / "train.parquet")
    if n_items:
        popular = pairs.group_by("item_id").len().sort("len", "item_id", descending=[True, False]).head(n_items)
        pairs = pairs.join(popular, on="item_id", how="semi")
    rows, columns = (np.unique(pairs[name].to_numpy(), return_inverse=True)[1] for name in ("user_id", "item_id"))
    return csr_array((np.ones(len(rows), np.float32), (rows, columns)))


def peak() -> int:
    """Largest memory that this process has held, bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def product_speed() -> float:
    """Operations a second of a large product in float64."""
    left, n = torch.randn(2048, 2048, dtype=torch.float64), 2048
    seconds = []
    for _ in range(4):
        started = time.process_time()
        torch.mm(left, left)
        seconds.append(time.process_time() - started)
    return 2 * n**3 / statistics.median(seconds[1:])


def ease(n_items: int, _: Path) -> dict[str, float]:
    """A fit beside its bound."""
    train, speed, before = gowalla(n_items), product_speed(), peak()
    model, n = EASE(train.shape[1], EASEConfig(l2=300.0)), train.shape[1]
    started = time.process_time()
    model.fit(train)
    seconds = time.process_time() - started
    speed = (speed + product_speed()) / 2
    memory = (peak() - before) / (4 * n**2)
    return {"cpu_seconds": seconds, "bound_share": n**3 / speed / seconds, "memory_share_of_B": memory}


def some_users(n_users: int) -> np.ndarray:
    """Whose scores are compared."""
    found: np.ndarray = np.sort(np.random.default_rng(0).permutation(n_users)[:USERS])
    return found


def rk4(n_items: int, scores: Path) -> dict[str, float]:
    """The published process as it is here."""
    train, before = gowalla(n_items), peak()
    config = GraphFilterConfig(rank=RANK, low_pass=LOW_PASS, sharpening=TIME, solver="rk4")
    model = GraphFilter(train.shape[1], config)
    started = time.process_time()
    model.fit(train)
    fitted = time.process_time()
    memory, users = peak() - before, some_users(train.shape[0])
    begun = time.process_time()
    np.save(scores, model.score(train[users]))
    scoring = (time.process_time() - begun) * train.shape[0] / len(users)
    return {"fit": fitted - started, "fit_and_scores": fitted - started + scoring, "bytes": memory}


def authors(n_items: int, scores: Path) -> dict[str, float]:
    """Their way, with the scores of `BATCH` users."""
    train, before = gowalla(n_items), peak()
    started = time.process_time()
    items, lengths = train.sum(axis=0).clip(1), train.sum(axis=1).clip(1)
    normal = csr_array(train.multiply(lengths[:, None] ** -0.5).multiply(items**-0.5))
    vectors = svds(normal.astype(np.float64), k=RANK, return_singular_vectors="vh")[2]
    fit = time.process_time() - started
    users = some_users(train.shape[0])[:BATCH]
    begun, backwards = time.process_time(), csr_array(normal.T)
    history = train[users].toarray()

    def derivative(state: np.ndarray) -> np.ndarray:
        return -((state @ backwards) @ normal)

    low = (history * items**-0.5) @ vectors.T @ (vectors * items**0.5)
    h = LOW_PASS * low - derivative(history)
    first = derivative(h)
    second = derivative(h + TIME / 2 * first)
    third = derivative(h + TIME / 2 * second)
    h = h + TIME / 6 * (first + 2 * second + 2 * third + derivative(h + TIME * third))
    scoring = (time.process_time() - begun) * train.shape[0] / len(users)
    np.save(scores, h.astype(np.float32))
    return {"fit": fit, "fit_and_scores": fit + scoring, "bytes": peak() - before}


PARTS = {"ease": ease, "rk4": rk4, "authors": authors}


def apart(part: str, n_items: int, scores: Path, checkout: Path) -> dict[str, float]:
    """One measurement in a process of its own, with the library of a checkout."""
    command = [sys.executable, __file__, "--part", part, "--items", str(n_items), "--scores", str(scores)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(checkout)}, check=True, stdout=subprocess.PIPE)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(part, n_items, checkout.name, figures, flush=True)
    return figures


def compared(n_items: int, today: Path | None, turns: int, folder: Path) -> dict[str, Any]:
    """The graph filter now, before, and as its authors have it."""
    here = Path(__file__).parents[2]
    runs: dict[str, list[dict[str, float]]] = {"now": [], "today": [], "authors": []}
    for _ in range(turns):
        runs["now"].append(apart("rk4", n_items, folder / "now.npy", here))
        if today:
            runs["today"].append(apart("rk4", n_items, folder / "today.npy", today))
    runs["authors"].append(apart("authors", n_items, folder / "authors.npy", here))
    cost = {name: {key: statistics.median(run[key] for run in of) for key in of[0]} for name, of in runs.items() if of}
    now = cost["now"]
    found = {"rk4_items": n_items, "rk4_speedup_authors": cost["authors"]["fit_and_scores"] / now["fit_and_scores"]}
    if today:
        scores = [np.load(folder / name) for name in ("now.npy", "today.npy")]
        differences = np.abs(scores[0] - scores[1]) / np.abs(scores[1]).max()
        found |= {
            "rk4_speedup_today": cost["today"]["fit"] / now["fit"],
            "rk4_memory_share": now["bytes"] / cost["today"]["bytes"],
            "rk4_largest_difference": float(differences.max()),
            "rk4_share_within_1e-5": float((differences < 1e-5).mean()),
        }
    return found


def main() -> None:
    """Measure, and print the figures as JSON, last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, help="one measurement in this process")
    parser.add_argument("--items", type=int, default=0, help="most popular items for the graph filter; 0: all")
    parser.add_argument("--ease-items", type=int, nargs="*", default=[5_000, 10_000, 20_000])
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--today", type=Path, help="a checkout of the build to compare with")
    parser.add_argument("--turns", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(PARTS[arguments.part](arguments.items, arguments.scores)))
        return
    here, found = Path(__file__).parents[2], {}
    with tempfile.TemporaryDirectory() as folder:
        for n_items in arguments.ease_items:
            figures = apart("ease", n_items, Path(folder) / "none", here)
            found["ease_memory_share_of_B"] = figures["memory_share_of_B"]
            found[f"ease_bound_share_{n_items // 1000}k"] = figures["bound_share"]
        found |= compared(arguments.items, arguments.today, arguments.turns, Path(folder))
    print(json.dumps({key: float(f"{value:.6g}") for key, value in found.items()}))


if __name__ == "__main__":
    main()
