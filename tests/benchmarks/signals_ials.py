"""iALS beside `implicit`'s: same objective, same optimum, processor time; and quality after tuning on validation.

    python -m tests.benchmarks.signals_ials [--fresh] [--print] [--only NAME ...]

- `ml-1m-equal`: both begin with the same item factors and solve every row exactly; after 15 iterations at 64 factors,
  how far the scores are apart, as a share of the largest, and the objective, computed in float64 for both.
- `ml-1m-optimum`: likewise, both with their defaults, after 300 iterations with a penalty that leaves fewer factors
  than there are. The optimum is that of a convex problem then, so there is only one.
- `ml-1m-time`, `gowalla-time`: processor seconds an iteration of a fit of 16 at 128 factors, whatever a fit begins
  with included, one thread each, in turns, medians; our default and exact solvers beside implicit's default, three
  steps of conjugate gradients, and its exact solver, of which each fit is one iteration.
- `ml-1m`, `gowalla`: settings drawn at random, chosen on validation; then the test part is read once a seed.

Last line: `ials_time_ratio_implicit` is the larger of the two datasets' ratios to implicit's default.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import Split
from recsys_vae.models.ials import IALS, IALSConfig
from tests.benchmarks.peers.export import SPLITS, export, workspace
from tests.benchmarks.peers.process import Peer
from tests.benchmarks.quickstart import GOWALLA_METRICS, METRICS, SEEDS
from tests.benchmarks.records import existing, record

BENCHMARK = "signals"
CONFIDENCE, L2, STRONG_L2 = 10.0, 5.0, 150.0
"""Of an observed pair, beside 1 of all others; penalties: of the objective that both solve, and where it is convex."""
LEFT = 1e-3
"""Singular values of the item vectors that are no smaller a share of the largest count as factors that are left."""
ITERATIONS, ROUNDS, WARM_UP = 16, {"ml-1m": 7, "gowalla": 3}, 1
STOPS = (2, 3, 4, 5, 6, 8, 10, 12, 16)
FACTORS = {"ml-1m": 256, "gowalla": 256}
DRAWN = {"ml-1m": 20, "gowalla": 8}
BOUNDS = {"ml-1m": ((0.1, 0.008), (0.35, 0.014)), "gowalla": ((0.003, 0.001), (0.3, 0.02))}
"""Of `unobserved` and `l2`; of MovieLens 1M narrowed by some twenty looks at validation."""
EXPONENTS = {"ml-1m": (0.4, 0.5, 0.6), "gowalla": (0.0, 0.5, 0.8, 1.0)}
CHOSEN_BY = {"ml-1m": "ndcg@100", "gowalla": "recall@20[all]"}
REPORTED = {"ml-1m": METRICS, "gowalla": GOWALLA_METRICS}


def same_objective(matrix: csr_array, factors: int, block: int, penalty: float = L2) -> IALS:
    """A model of implicit's objective: confidence 1 everywhere, 1 + weight where observed, one penalty for all.

    Ours is given in units of the mean confidence of a row or column.
    """
    total = float(matrix.data.sum(dtype=np.float64)) + matrix.shape[0] * matrix.shape[1]
    l2 = penalty * sum(matrix.shape) / (2 * total)
    config = IALSConfig(factors, unobserved=1.0, l2=l2, l2_exponent=0.0, weights="value", block=block)
    return IALS(matrix.shape[1], config)


def beginning(dataset: str, n_items: int, factors: int) -> tuple[Path, np.ndarray]:
    """Item factors that both begin with."""
    path = workspace(dataset) / f"start-{factors}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    start = np.random.default_rng(0).standard_normal((n_items, factors), dtype=np.float32) * np.float32(0.01)
    np.save(path, start)
    return path, start


def weighted(matrix: csr_array) -> csr_array:
    """The interactions with the weight that makes a confidence of CONFIDENCE."""
    data = np.full(matrix.nnz, CONFIDENCE - 1, dtype=np.float32)
    return csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def objective(matrix: csr_array, users: np.ndarray, items: np.ndarray, penalty: float) -> float:
    """What both minimise, in float64; all pairs by the Gram matrices, then the difference that observed ones make."""
    users, items = users.astype(np.float64), items.astype(np.float64)
    everywhere = float(((users.T @ users) * (items.T @ items)).sum())
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    found = np.einsum("ij,ij->i", users[rows], items[matrix.indices])
    observed = float((CONFIDENCE * (1 - found) ** 2 - found**2).sum())
    return everywhere + observed + penalty * float((users**2).sum() + (items**2).sum())


def measure_equal(block: int, penalty: float, iterations: int, factors: int = 64) -> dict[str, Any]:
    """Scores and objective of both after the same iterations; implicit's exact solver where ours is, else defaults."""
    split, matrix = export("ml-1m"), weighted(SPLITS["ml-1m"]().training_part.matrix)
    path, start = beginning("ml-1m", matrix.shape[1], factors)
    saved = workspace("ml-1m") / "implicit.npz"
    with Peer("implicit", "implicit_als", str(split), str(path), threads=1) as peer:
        job = {"confidence": CONFIDENCE, "regularization": penalty, "cg": block > 0, "iterations": iterations}
        peer.ask(job | {"save": str(saved)})
    users, items = same_objective(matrix, factors, block, penalty).alternated(matrix, start, iterations)
    with np.load(saved) as theirs:
        other = theirs["users"], theirs["items"]
    some = np.random.default_rng(0).choice(matrix.shape[0], 1000, replace=False)
    scores, others = users[some] @ items.T, other[0][some] @ other[1].T
    values = objective(matrix, users, items, penalty), objective(matrix, *other, penalty)
    lengths = np.linalg.svd(items, compute_uv=False)
    return {
        "largest_difference_of_scores": float(np.abs(scores - others).max() / np.abs(others).max()),
        "objective": values[0],
        "objective_implicit": values[1],
        "relative_difference_of_objective": abs(values[0] / values[1] - 1),
        "iterations": iterations,
        "factors": factors,
        "factors_left": int((lengths > LEFT * lengths[0]).sum()),
        "block": block,
        "penalty": penalty,
    }


def measure_time(dataset: str, factors: int = 128) -> dict[str, Any]:
    """Processor seconds an iteration of a fit, in turns."""
    split = export(dataset)
    matrix = weighted(SPLITS[dataset]().training_part.matrix)
    path, start = beginning(dataset, matrix.shape[1], factors)
    ours = {"ours": IALSConfig.block, "ours_exact": 0}
    theirs = {"implicit_cg": {"cg": True, "iterations": ITERATIONS}, "implicit_exact": {"cg": False, "iterations": 1}}
    job = {"confidence": CONFIDENCE, "regularization": L2}
    seconds: dict[str, list[float]] = {name: [] for name in (*ours, *theirs)}
    torch.set_num_threads(1)
    with Peer("implicit", "implicit_als", str(split), str(path), threads=1) as peer:
        for _ in range(WARM_UP + ROUNDS[dataset]):
            for name, block in ours.items():
                began = time.process_time()
                same_objective(matrix, factors, block).alternated(matrix, start, ITERATIONS)
                seconds[name].append((time.process_time() - began) / ITERATIONS)
            for name, how in theirs.items():
                seconds[name].append(peer.ask(job | how)["cpu_seconds"] / how["iterations"])
    medians = {name: float(np.median(values[WARM_UP:])) for name, values in seconds.items()}
    ratios = {
        ("" if one == "ours" else "exact_") + f"ratio_to_{other}": medians[one] / medians[other]
        for one in ours
        for other in theirs
    }
    return {"cpu_seconds": medians} | ratios | {"factors": factors, "iterations": ITERATIONS, "rounds": seconds}


def candidates(dataset: str) -> list[IALSConfig]:
    """Settings to try, drawn at random around what Rendle et al. 2022 recommend; iterations are tried for each."""
    draw, found = np.random.default_rng(0), []
    for _ in range(DRAWN[dataset]):
        unobserved, l2 = np.exp(draw.uniform(*np.log(BOUNDS[dataset])))
        exponent = float(draw.choice(EXPONENTS[dataset]))
        found.append(IALSConfig(FACTORS[dataset], unobserved=float(unobserved), l2=float(l2), l2_exponent=exponent))
    return found


def choose(dataset: str, split: Split) -> tuple[IALSConfig, list[dict[str, Any]]]:
    """The best on validation of all candidates, and what each gave; each is a record of its own."""
    tried = [
        record(BENCHMARK, f"ials-{dataset}-candidate{place:02}", partial(measure_candidate, dataset, split, config))
        for place, config in enumerate(candidates(dataset))
    ]
    best = max((one["figures"] for one in tried), key=lambda one: one["value"])
    return IALSConfig(**best["settings"]), [one["figures"] for one in tried]


def measure_candidate(dataset: str, split: Split, config: IALSConfig) -> dict[str, Any]:
    """The best stop of one candidate on validation: iterations go on until asking again brings nothing."""
    matrix, values = split.train.matrix, {}
    model = IALS(matrix.shape[1], replace(config, iterations=STOPS[0]))
    model.fit(matrix)
    for stop, following in zip(STOPS, (*STOPS[1:], 0), strict=True):
        found = evaluate(model, split.validation, [CHOSEN_BY[dataset]])
        values[stop] = found.means[CHOSEN_BY[dataset]]
        if values[stop] < max(values.values()) or not following:
            break
        model.go_on(matrix, following - stop)
    best = max(values, key=lambda stop: values[stop])
    return {"value": values[best], "by_iterations": values, "settings": settings(replace(config, iterations=best))}


def settings(config: IALSConfig) -> dict[str, Any]:
    """What was chosen, by name."""
    names = ("factors", "iterations", "unobserved", "l2", "l2_exponent", "block")
    return {name: getattr(config, name) for name in names}


def solved(matrix: csr_array, config: IALSConfig) -> IALS:
    """A fitted model."""
    model = IALS(matrix.shape[1], config)
    model.fit(matrix)
    return model


def measure_quality(dataset: str) -> dict[str, Any]:
    """Test figures of the settings that validation chose, one entry a seed."""
    split = SPLITS[dataset]()
    config, tried = choose(dataset, split)
    learned = split.train.matrix if dataset == "ml-1m" else split.training_part.matrix
    found: dict[str, Any] = {"settings": settings(config), "tried": tried, "seeds": []}
    for seed in SEEDS if dataset == "ml-1m" else SEEDS[:1]:
        began = time.process_time()
        model = solved(learned, replace(config, start=seed))
        seconds = time.process_time() - began
        evaluation = evaluate(model, split.test, REPORTED[dataset])
        means = {name: [mean, evaluation.standard_errors[name]] for name, mean in evaluation.means.items()}
        found["seeds"].append(means | {"cpu_seconds": seconds})
    return found


RUNS: dict[str, Callable[[], dict[str, Any]]] = {
    "ials-ml-1m-equal": lambda: measure_equal(0, L2, 15),
    "ials-ml-1m-optimum": lambda: measure_equal(IALSConfig.block, STRONG_L2, 300),
    "ials-ml-1m-time": lambda: measure_time("ml-1m"),
    "ials-gowalla-time": lambda: measure_time("gowalla"),
    "ials-ml-1m": lambda: measure_quality("ml-1m"),
    "ials-gowalla": lambda: measure_quality("gowalla"),
}


def show() -> None:
    """One line a run."""
    for name in RUNS:
        if (found := existing(BENCHMARK, name)) is None:
            continue
        figures = {key: value for key, value in found["figures"].items() if key not in ("tried", "rounds", "seeds")}
        for metric in () if "seeds" not in found["figures"] else REPORTED[name.removeprefix("ials-")]:
            values = [seed[metric] for seed in found["figures"]["seeds"]]
            figures[metric] = [round(float(value), 4) for value in np.mean(values, axis=0)]
        print(name, json.dumps(figures))


def summary() -> dict[str, float | None]:
    """The last line."""
    found = [existing(BENCHMARK, f"ials-{dataset}-time") for dataset in ("ml-1m", "gowalla")]
    ratios = [one["figures"]["ratio_to_implicit_cg"] for one in found if one is not None]
    return {"ials_time_ratio_implicit": round(max(ratios), 3) if ratios else None}


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--only", nargs="*", choices=list(RUNS), help="measure only these runs")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    for name in () if arguments.print else arguments.only or RUNS:
        record(BENCHMARK, name, RUNS[name], fresh=arguments.fresh)
    show()
    print(json.dumps(summary()))


if __name__ == "__main__":
    main()
