"""What row-wise moments and tables of bfloat16 cost in accuracy, on validation users: `make bench-scale`.

Mult-VAE 128-64-128 with the sampled likelihood on MovieLens 1M (strong split) and Gowalla (published split, 3,000 users
who give a tenth of their items). On MovieLens 1M with the settings of `recsys train` but for 100 epochs, on Gowalla
with those that were chosen for Adam and every item (configs/gowalla/mult-vae.toml); the best epoch of each run. The
test parts are not read. Differences are paired over users, on seed-averaged values.

    python -m tests.benchmarks.scale_tables [--only gowalla] [--print]

Each run is one JSON file under results/scale-tables. The last line of output is JSON.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from recsys_vae.evaluation.bootstrap import paired_bootstrap
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import Split
from recsys_vae.models.catalog import configure
from recsys_vae.training.config import BFLOAT16, ROWWISE_ADAM, TrainingConfig
from recsys_vae.training.fit import ModelSpec, fit
from tests.benchmarks.models import specified
from tests.benchmarks.quickstart import gowalla, ml_1m
from tests.benchmarks.records import existing, record

BENCHMARK = "scale-tables"
METRICS = ("ndcg@100", "recall@20")
SEEDS = (42, 43, 44)
DATASETS: dict[str, tuple[Callable[[], Split], dict[str, Any]]] = {
    "ml-1m": (ml_1m, {"epochs": 100}),
    "gowalla": (gowalla, {}),
}
"""And what differs from the settings that are there already."""
TABLES: dict[str, dict[str, Any]] = {
    "adam": {},
    "rowwise": {"table_optimizer": ROWWISE_ADAM},
    "rowwise-bfloat16": {"table_optimizer": ROWWISE_ADAM, "table_precision": BFLOAT16},
}
USUAL = "adam"


def measure(dataset: str, tables: str, seed: int, **settings: Any) -> dict[str, Any]:
    """Figures of a run."""
    made, own = DATASETS[dataset]
    usual = specified("gowalla", "mult-vae").training if dataset == "gowalla" else TrainingConfig()
    training = replace(
        usual, likelihood="sampled", leaves=1, shard_items=True, seed=seed, device="cpu", checkpoint_seconds=1e9,
        **own | TABLES[tables] | settings,
    )  # fmt: skip
    split = made()
    with tempfile.TemporaryDirectory() as folder:
        spec = ModelSpec("mult-vae", configure("mult-vae", {"hidden": 128, "latent": 64}), training)
        found = fit(spec, split.train.matrix, validation=split.validation, checkpoint=Path(folder) / "run.safetensors")
        measured = evaluate(found.model, split.validation, METRICS)
    return {
        "epochs": found.epochs,
        "users_per_second": float(np.median([one["users_per_second"] for one in found.history])),
        "per_user": {name: " ".join(f"{one:.6g}" for one in measured.per_user[name]) for name in METRICS},
    }


def told(dataset: str, tables: str) -> dict[str, Any] | None:
    """Means over the seeds, with the standard error over users, and the difference to the usual tables."""
    runs = {seed: [existing(BENCHMARK, f"{dataset}-{name}-{seed}") for name in (tables, USUAL)] for seed in SEEDS}
    both = [run for run in runs.values() if all(run)]
    if not both:
        return None
    mine, usual = zip(*both, strict=True)
    found: dict[str, Any] = {"epochs": [one["figures"]["epochs"] for one in mine if one], "seeds": len(both)}
    for metric in METRICS:
        ours, theirs = (
            np.array([[float(value) for value in one["figures"]["per_user"][metric].split()] for one in some if one])
            for some in (mine, usual)
        )
        of_users = ours.mean(axis=0)
        found[metric] = [float(of_users.mean()), float(of_users.std(ddof=1) / len(of_users) ** 0.5)]
        if tables != USUAL:
            gap = paired_bootstrap(ours, theirs)
            found[f"{metric} difference"] = [float((ours - theirs).mean()), gap.low, gap.high]
    return found


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="runs whose names have this in them")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    for dataset in DATASETS:
        for seed in SEEDS:
            for tables in TABLES:
                name = f"{dataset}-{tables}-{seed}"
                if arguments.only in name and not arguments.print:
                    record(BENCHMARK, name, partial(measure, dataset, tables, seed))
    table = Table("", "", *(f"{metric}{what}" for metric in METRICS for what in ("", ", minus the first")), "epochs")
    figures = {(dataset, tables): told(dataset, tables) for dataset in DATASETS for tables in TABLES}
    for (dataset, tables), found in figures.items():
        if found is None:
            continue
        cells = []
        for metric in METRICS:
            cells.append("{:.4f} ± {:.4f}".format(*found[metric]))
            gap = found.get(f"{metric} difference")
            cells.append("{:+.4f} ({:+.4f} to {:+.4f})".format(*gap) if gap else "")
        table.add_row(dataset, tables, *cells, ", ".join(map(str, found["epochs"])))
    Console(width=160).print(table)
    print(json.dumps({"tables": {" ".join(key): found for key, found in figures.items() if found}}))


if __name__ == "__main__":
    main()
