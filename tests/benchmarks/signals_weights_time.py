"""What time brings on MovieLens 100K, cut in time: a half-life of weights beside the binary twin of each model.

    python -m tests.benchmarks.signals_weights_time [--only MODEL ...] [--fresh]

Ratings of 4 and above; what users like after a moment is asked of what they liked before it (protocol `temporal` with
its defaults). Of each model in closed form settings, weights and half-life are chosen on validation by ndcg@100; the
test part is read once for the best without weights and once for the best with a half-life. Intervals: 95 %, bootstrap
paired over the test users. One record a model under results/signals/; what is there is printed, not measured again. The
last line is JSON.
"""

import argparse
import json
import math
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import load_split
from recsys_vae.evaluation.bootstrap import paired_bootstrap
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import Split
from tests.benchmarks.quickstart import POSITIVES, fitted, prepared
from tests.benchmarks.records import existing, record

BENCHMARK, DATASET, METRIC = "signals", "bench-ml-100k-in-time", "ndcg@100"
METRICS = (METRIC, "recall@20")
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "ease": [{"l2": l2} for l2 in (100.0, 300.0, 1000.0)],
    "edlae": [{"dropout": dropout, "l2": l2} for dropout, l2 in product((0.3, 0.6), (30.0, 100.0, 300.0))],
    "graph-filter": [{"rank": rank, "sharpening": t} for rank, t in product((64, 256), (0.0, 2.0))],
    "ials": [{"factors": factors, "unobserved": u} for factors, u in product((32, 64), (0.1, 0.3))],
}
HALF_LIVES = (1.0, 7.0, 30.0, 90.0, 365.0)
"""Days, counted from the user's latest event; most users rated all they rated within days."""


def split_of(half_life: float = math.inf) -> Split:
    """The dataset cut in time, with weights of this half-life."""
    prepared(DATASET, "movielens-100k", POSITIVES, ("--protocol", "temporal"))
    return load_split(DatasetDir.open(DATASET), "temporal", half_life)


def search(name: str) -> dict[str, Any]:
    """Both twins: what was tried on validation, and the best on the test part."""
    plain, weighed = [split_of()], [split_of(half_life) for half_life in HALF_LIVES]
    twins = {"binary": _best(name, plain, "binary"), "half-life": _best(name, weighed, "value")}
    ours, theirs = (np.array(twins[kind]["per_user"]) for kind in ("half-life", "binary"))
    gain = paired_bootstrap(ours, theirs)
    return twins | {"gain": [round(end, 4) for end in (gain.difference, gain.low, gain.high)]}


def _best(name: str, splits: list[Split], weights: str) -> dict[str, Any]:
    tried = []
    for split, settings in product(splits, SETTINGS[name]):
        model = fitted(split, name, **settings, weights=weights).model
        tried.append((evaluate(model, split.validation, [METRIC]).means[METRIC], split, settings, model))
    value, split, settings, model = max(tried, key=lambda one: one[0])
    test = evaluate(model, split.test, METRICS)
    return {
        "settings": settings,
        "half_life": None if split.half_life == math.inf else split.half_life,
        "validation": value,
        "tried": len(tried),
        "test": test.means,
        "test_standard_errors": test.standard_errors,
        "per_user": test.per_user[METRIC].round(6).tolist(),
    }


def main() -> None:
    """Measure what is missing, print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    arguments = parser.parse_args()
    for name in arguments.only:
        record(BENCHMARK, f"weights-ml100k-time-{name}", partial(search, name), fresh=arguments.fresh)
    records = {name: existing(BENCHMARK, f"weights-ml100k-time-{name}") for name in SETTINGS}
    found = {name: one["figures"] for name, one in records.items() if one}
    for name, one in found.items():
        values = {kind: f"{one[kind]['test'][METRIC]:.4f}" for kind in ("binary", "half-life")}
        users, half_life = len(one["binary"]["per_user"]), one["half-life"]["half_life"]
        print(f"{name:14} {users} users, {METRIC} {values}, half-life {half_life:g} days, gain {one['gain']}")
    print(json.dumps({"half_life_gain_ml100k": {name: one["gain"][1:] for name, one in found.items()}}))


if __name__ == "__main__":
    main()
