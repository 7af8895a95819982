"""What the main job gives on three public datasets, under the protocols of DESIGN: `make bench-quickstart`.

- MovieLens 100K, strong split, ratings >= 4: Mult-VAE as `recsys train` trains it by default, against popularity.
- MovieLens 1M, strong split, ratings >= 4, five seeds: Mult-VAE as published (Liang et al. 2018) against EASE, whose
  lambda is chosen on the validation users. The interval is a bootstrap paired over users, on seed-averaged ndcg@100.
- Gowalla, the published split: Mult-VAE, epochs chosen on users cut from the training file, trained again on all of it.

Each run is one JSON file under results/quickstart; what is there is printed, not measured again (--fresh does).
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import load_split
from pipelines.training.fit import ModelSpec, fit
from recsys_vae.evaluation.bootstrap import paired_bootstrap
from recsys_vae.evaluation.evaluate import Evaluation, evaluate
from recsys_vae.evaluation.splits import HeldOut, Split
from recsys_vae.models.catalog import configure
from recsys_vae.training.config import TrainingConfig
from tests.benchmarks.records import existing, record

BENCHMARK = "quickstart"
SEEDS = (0, 1, 2, 3, 4)
EASE_L2 = (50, 100, 200, 300, 500, 750, 1000, 1500, 2000)
STRONG = ("--protocol", "strong")
POSITIVES = ("--min-rating", "4", "--min-user", "5")
METRICS = ("recall@20", "recall@50", "ndcg@100")
GOWALLA_METRICS = ("recall@20[all]", "ndcg@20")
REFERENCE = TrainingConfig().as_published()
GOWALLA = replace(REFERENCE, epochs=20, patience=5, validation_metric="recall@20[all]", checkpoint_seconds=300.0)
"""As published, but 20 epochs instead of 200, and stopped when 5 bring nothing: an epoch takes about a minute."""


def prepared(name: str, dataset: str, ingest: tuple[str, ...], split: tuple[str, ...]) -> Split:
    """A split of a dataset, ingested and cut where that has not happened yet."""
    directory = DatasetDir.at(name)
    if not directory.interactions_path.is_file():
        recsys("ingest", dataset, "--to", name, *ingest)
    if not directory.splits():
        recsys("split", name, *split)
    return load_split(directory, directory.splits()[0])


def recsys(*arguments: str) -> None:
    """Run the command line."""
    subprocess.run([sys.executable, "-m", "pipelines.cli", *arguments], check=True)


def ml_100k() -> Split:
    """MovieLens 100K."""
    return prepared("bench-ml-100k", "movielens-100k", POSITIVES, STRONG)


def ml_1m() -> Split:
    """MovieLens 1M."""
    return prepared("bench-ml-1m", "movielens-1m", POSITIVES, STRONG)


def gowalla() -> Split:
    """Gowalla; 3,000 users give a tenth of their training items for validation."""
    return prepared("bench-gowalla", "gowalla", (), ("--protocol", "given", "--validation-users", "3000"))


def fitted(split: Split, model: str, training: TrainingConfig | None = None, **settings: Any) -> Any:
    """A model of the catalogue, fitted on the training part."""
    spec = ModelSpec(model, configure(model, settings), training or TrainingConfig())
    return fit(spec, split.train.matrix, validation=split.validation)


def on(part: HeldOut, model: Any, metrics: tuple[str, ...] = METRICS) -> dict[str, Any]:
    """Figures of an evaluation, with the users' ndcg for paired comparisons."""
    return figures(evaluate(model, part, metrics))


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """Means and standard errors by metric, and the users' values of ndcg@100."""
    shown: dict[str, Any] = {
        name: [mean, evaluation.standard_errors[name]] for name, mean in evaluation.means.items()
    } | {"users": evaluation.n_users}
    if "ndcg@100" in evaluation.per_user:
        shown["per_user_ndcg@100"] = [round(float(v), 6) for v in evaluation.per_user["ndcg@100"]]
    return shown


def measure_ml_100k(model: str) -> dict[str, Any]:
    """One model on MovieLens 100K."""
    split = ml_100k()
    result = fitted(split, model)
    return on(split.test, result.model) | {"epochs": result.epochs}


def measure_ease() -> dict[str, Any]:
    """EASE on MovieLens 1M, lambda chosen on validation; the test part is read once."""
    split = ml_1m()
    tried = {l2: on(split.validation, fitted(split, "ease", l2=l2).model)["ndcg@100"][0] for l2 in EASE_L2}
    best = max(tried, key=lambda l2: tried[l2])
    return on(split.test, fitted(split, "ease", l2=best).model) | {"l2": best, "validation_ndcg@100": tried}


def measure_vae(seed: int) -> dict[str, Any]:
    """Reference Mult-VAE on MovieLens 1M."""
    split = ml_1m()
    result = fitted(split, "mult-vae", replace(REFERENCE, seed=seed))
    return on(split.test, result.model) | {"epochs": result.epochs, "training_seconds": result.seconds}


def measure_gowalla() -> dict[str, Any]:
    """Mult-VAE on Gowalla: epochs chosen on validation, then trained on the whole training file."""
    split = gowalla()
    spec = ModelSpec("mult-vae", configure("mult-vae", {}), GOWALLA)
    workspace = DatasetDir.at("bench-gowalla").path.parent
    chosen = fit(
        spec, split.train.matrix, validation=split.validation, checkpoint=workspace / "choose.safetensors", resume=True
    )
    assert split.refit is not None
    final = fit(spec, split.refit.matrix, checkpoint=workspace / "refit.safetensors", resume=True, epochs=chosen.epochs)
    return on(split.test, final.model, GOWALLA_METRICS) | {
        "epochs": chosen.epochs,
        "training_seconds": chosen.seconds + final.seconds,
    }


RUNS: dict[str, Callable[[], dict[str, Any]]] = {
    "ml100k-popularity": lambda: measure_ml_100k("popularity"),
    "ml100k-mult-vae": lambda: measure_ml_100k("mult-vae"),
    "ml1m-ease": measure_ease,
    **{f"ml1m-mult-vae-seed{seed}": (lambda seed=seed: measure_vae(seed)) for seed in SEEDS},
    "gowalla-mult-vae": measure_gowalla,
}


def summary() -> dict[str, Any]:
    """The figures of all records; None where one is missing."""

    def mean(run: str, metric: str) -> float | None:
        found = existing(BENCHMARK, run)
        return None if found is None else float(found["figures"][metric][0])

    seeds = [existing(BENCHMARK, f"ml1m-mult-vae-seed{seed}") for seed in SEEDS]
    ease = existing(BENCHMARK, "ml1m-ease")
    vae_ndcg, interval = None, None
    if ease is not None and all(seeds):
        values = np.array([run["figures"]["per_user_ndcg@100"] for run in seeds if run])
        vae_ndcg = float(values.mean())
        compared = paired_bootstrap(values.mean(axis=0), np.array(ease["figures"]["per_user_ndcg@100"]))
        interval = [compared.low, compared.high]
    return {
        "ml100k_recall20_vae": mean("ml100k-mult-vae", "recall@20"),
        "ml100k_recall20_popularity": mean("ml100k-popularity", "recall@20"),
        "ml1m_ndcg100_vae": vae_ndcg,
        "ml1m_ndcg100_ease": mean("ml1m-ease", "ndcg@100"),
        "ml1m_vae_minus_ease": interval,
        "gowalla_recall20_all": mean("gowalla-mult-vae", "recall@20[all]"),
        "gowalla_ndcg20": mean("gowalla-mult-vae", "ndcg@20"),
    }


def show() -> None:
    """Print a table of all records."""
    table = Table("run", "metric", "test mean", "s.e.", "users", "epochs", "seconds", "date", "commit")
    for run in RUNS:
        found = existing(BENCHMARK, run)
        if found is None:
            table.add_row(run, "not measured")
            continue
        numbers = found["figures"]
        for metric in [name for name, value in numbers.items() if isinstance(value, list) and "per_user" not in name]:
            value, error = numbers[metric]
            table.add_row(
                run,
                escape(metric),
                f"{value:.4f}",
                f"{error:.4f}",
                str(numbers["users"]),
                str(numbers.get("epochs") or ""),
                f"{found['seconds']:.0f}",
                found["date"],
                found["commit"],
            )
    Console(width=140).print(table)


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--only", nargs="*", choices=list(RUNS), help="measure only these runs")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    os.environ.setdefault("TQDM_MININTERVAL", "5")
    for run in () if arguments.print else arguments.only or RUNS:
        record(BENCHMARK, run, RUNS[run], fresh=arguments.fresh)
    show()
    print(json.dumps(summary()))


if __name__ == "__main__":
    main()
