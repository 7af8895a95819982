"""Accuracy of every model beside published figures and other libraries: `make bench-models`, `make bench-models-full`.

Settings were chosen on validation users only and stand in configs/DATASET/MODEL.toml, which `recsys train --settings`
reads too. The test part is asked once a reported run.

- Gowalla, the published split: settings and number of epochs were chosen on 3,000 users who give a tenth of their
  training items, those of the graph filter by gowalla_choice.py; the model learns from the whole training file.
  recall@20[all] and ndcg@20, all 29,858 users.
- MovieLens 1M, strong split, ratings >= 4: the best epoch on 603 validation users; five seeds where a model has any.
  Peers are measured by peers/measure.py on the same split. Intervals are bootstraps paired over the 603 test users, on
  seed-averaged ndcg@100. The best of ours is chosen by validation, the best of theirs by test.

Each run is one JSON file under results/models, and resumes where it was interrupted; what is there is printed, not
measured again (--fresh does). Without --full, seeds other than the first are not measured.
"""

import argparse
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array

from pipelines.training.fit import Fitted, ModelSpec, fit
from pipelines.training.model_settings import read_settings, specify
from recsys_vae.evaluation.bootstrap import paired_bootstrap
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.home import home
from recsys_vae.models.blend import Blend, BlendConfig
from tests.benchmarks.quickstart import GOWALLA_METRICS, METRICS, SEEDS, gowalla, ml_1m, on
from tests.benchmarks.records import existing, record

BENCHMARK = "models"
CONFIGS = Path(__file__).parent / "configs"
PEERS = ("multivae-default", "recvae-default", "multivae", "recvae", "ease", "ials")
CLOSED_FORM = ("popularity", "ease", "edlae", "graph-filter")
PUBLISHED_GOWALLA = {
    "Mult-VAE": (0.1641, 0.1335),
    "EASE": (0.1765, 0.1467),
    "LightGCN": (0.1820, 0.1547),
    "UltraGCN": (0.1862, 0.1580),
    "BSPM": (0.1920, 0.1597),
}
"""recall@20[all] and ndcg@20 on this split, as their papers and the later tables that repeat them give them."""


def configured(dataset: str) -> list[str]:
    """Names of the committed configurations of a dataset; some are a model under a second name."""
    return sorted(path.stem for path in (CONFIGS / dataset).glob("*.toml"))


def specified(dataset: str, name: str, **training: Any) -> ModelSpec:
    """A committed configuration; `training`, such as a seed, replaces its settings where it is trained by gradient."""
    chosen = read_settings(CONFIGS / dataset / f"{name}.toml")
    spec = specify(chosen.model, chosen.settings)
    return specify(chosen.model, {**chosen.settings, **training}) if spec.is_trained_by_gradient else spec


def resumable(spec: ModelSpec, interactions: csr_array, validation: HeldOut | None, dataset: str) -> Fitted:
    """Fit with a checkpoint, from which an interrupted run goes on.

    It is kept, and named by what is trained: a blend takes the autoencoder that was trained for its own record.
    """
    config = spec.config.autoencoder.config if isinstance(spec.config, BlendConfig) else spec.config
    trained = sha256(repr((config, spec.training, validation is None)).encode()).hexdigest()[:12]
    checkpoint = home() / "benchmarks" / f"{dataset}-{trained}.safetensors"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    return fit(spec, interactions, validation=validation, checkpoint=checkpoint, resume=True)


def measure_ml_1m(name: str, seed: int) -> dict[str, Any]:
    """One model, one seed, on MovieLens 1M."""
    split, spec = ml_1m(), specified("ml-1m", name, seed=seed)
    fitted = resumable(spec, split.train.matrix, split.validation, "ml1m")
    validation = evaluate(fitted.model, split.validation, ["ndcg@100"]).means["ndcg@100"]
    return on(split.test, fitted.model) | described(fitted) | {"validation_ndcg@100": validation}


def measure_gowalla(name: str) -> dict[str, Any]:
    """One model on Gowalla, whose settings say how many epochs it learns for."""
    split, spec = gowalla(), specified("gowalla", name, seed=0)
    fitted = resumable(spec, split.training_part.matrix, None, "gowalla")
    return on(split.test, fitted.model, GOWALLA_METRICS) | described(fitted)


def described(fitted: Fitted) -> dict[str, Any]:
    """Epochs and seconds of training; of a blend also the weight of its linear part."""
    found: dict[str, Any] = {"epochs": fitted.epochs, "training_seconds": fitted.seconds}
    return found | ({"weight": fitted.model.config.weight} if isinstance(fitted.model, Blend) else {})


def seeds_of(name: str) -> tuple[int, ...]:
    """Closed-form models have no seed."""
    return SEEDS[:1] if name in CLOSED_FORM else SEEDS


def runs() -> dict[str, Callable[[], dict[str, Any]]]:
    """Every run by name: Gowalla, then MovieLens 1M seed by seed."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}
    for name in configured("gowalla"):
        found[f"gowalla-{name}"] = lambda name=name: measure_gowalla(name)
    for seed in SEEDS:
        for name in configured("ml-1m"):
            if seed in seeds_of(name):
                found[f"ml1m-{name}-seed{seed}"] = lambda name=name, seed=seed: measure_ml_1m(name, seed)
    return found


def records_of(name: str) -> list[dict[str, Any]]:
    """The figures of a model on MovieLens 1M, one entry a seed that was measured."""
    found = [existing(BENCHMARK, f"ml1m-{name}-seed{seed}") for seed in SEEDS]
    return [one["figures"] for one in found if one is not None]


def per_user(name: str) -> NDArray[np.float64]:
    """ndcg@100 of each test user, averaged over the seeds."""
    averaged: NDArray[np.float64] = np.mean([run["per_user_ndcg@100"] for run in records_of(name)], axis=0)
    return averaged


def mean_and_error(name: str) -> list[float]:
    """Mean over the users of seed-averaged ndcg@100, and its standard error over them."""
    values = per_user(name)
    return [round(float(values.mean()), 4), round(float(values.std(ddof=1) / np.sqrt(values.size)), 4)]


def summary() -> dict[str, Any]:
    """The last line."""
    gowalla_runs = {name: existing(BENCHMARK, f"gowalla-{name}") for name in configured("gowalla")}
    ours = [name for name in configured("ml-1m") if records_of(name)]
    theirs = [f"peer-{name}" for name in PEERS if records_of(f"peer-{name}")]
    return {
        "gowalla": {
            name: [round(run["figures"][metric][0], 4) for metric in GOWALLA_METRICS]
            for name, run in gowalla_runs.items()
            if run is not None
        },
        "ml1m": {name: mean_and_error(name) for name in (*ours, *theirs)},
        "ml1m_best_ours_minus_best_theirs": best_against_best(ours, theirs),
    }


def best_against_best(ours: list[str], theirs: list[str]) -> list[float] | None:
    """Interval of our best by validation minus their best by test; EASE is theirs, whoever runs it."""
    contenders = [name for name in ours if name not in CLOSED_FORM]
    rivals = [*theirs, *(name for name in ours if name == "ease")]
    if not contenders or not rivals:
        return None
    best = max(contenders, key=lambda name: np.mean([run["validation_ndcg@100"] for run in records_of(name)]))
    rival = max(rivals, key=lambda name: mean_and_error(name)[0])
    return interval(best, rival)


def interval(name: str, other: str) -> list[float]:
    """95 % interval of the difference in ndcg@100."""
    found = paired_bootstrap(per_user(name), per_user(other))
    return [round(found.low, 4), round(found.high, 4)]


def show() -> None:
    """Print the tables."""
    table = Table("Gowalla", *GOWALLA_METRICS, "epochs", "seconds", "date", "commit")
    for name in configured("gowalla"):
        run = existing(BENCHMARK, f"gowalla-{name}")
        if run is not None:
            cells = ["{:.4f} ± {:.4f}".format(*run["figures"][metric]) for metric in GOWALLA_METRICS]
            table.add_row(
                name, *cells, str(run["figures"]["epochs"]), f"{run['seconds']:.0f}", run["date"], run["commit"]
            )
    for name, values in PUBLISHED_GOWALLA.items():
        table.add_row(f"{name}, published", *(f"{value:.4f}" for value in values))
    Console(width=140).print(table)
    table = Table("MovieLens 1M", *METRICS, "seeds", "s.e. over users", "sd over seeds", "minus EASE, 95 %", "seconds")
    for name in (*configured("ml-1m"), *(f"peer-{peer}" for peer in PEERS)):
        found = records_of(name)
        if not found:
            continue
        means = [np.mean([run[metric][0] for run in found]) for metric in METRICS]
        spread = np.std([run["ndcg@100"][0] for run in found], ddof=1) if len(found) > 1 else float("nan")
        against = str(interval(name, "ease")) if records_of("ease") else ""
        seconds = np.mean([run.get("training_seconds", float("nan")) for run in found])
        table.add_row(
            name,
            *(f"{value:.4f}" for value in means),
            str(len(found)),
            f"{mean_and_error(name)[1]:.4f}",
            f"{spread:.4f}",
            against,
            f"{seconds:.0f}",
        )
    Console(width=140).print(table)


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--full", action="store_true", help="measure all seeds")
    parser.add_argument("--only", nargs="*", choices=list(runs()), help="measure only these runs")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    wanted = runs()
    chosen = arguments.only or [name for name in wanted if arguments.full or not name.endswith(tuple("1234"))]
    for run in () if arguments.print else chosen:
        record(BENCHMARK, run, wanted[run], fresh=arguments.fresh)
    show()
    print(json.dumps(summary()))


if __name__ == "__main__":
    main()
