"""What `recsys compare` picks on MovieLens 100K: `python -m tests.benchmarks.signals_compare`.

Ratings of 4 and above, the strong split. The comparison has three minutes (--budget). Beside it every model of the
catalogue at full budget: its settings searched on validation by `recsys tune` (in closed form 40 trials, by gradient
20), then trained to its end. The test part is read once for each of them. compare_regret is the best of all less what
was picked, in ndcg@100 on the test users: the 95 % interval of the difference, paired over users. The best of all is
chosen by the test users themselves, so the regret is an upper bound.

compare_seconds is wall time, measured on an idle machine. Each run is one JSON file under results/signals; what is
there is printed, not measured again (--fresh does). The last line is one JSON object.
"""

import argparse
import json
import shutil
from typing import Any

import numpy as np

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import load_split
from pipelines.selection.compare import Question, compare
from pipelines.selection.outcome import as_json, write_page
from pipelines.selection.trials import Task, measure, train_so_far
from pipelines.training.model_settings import specify
from pipelines.tuning.search import Search
from pipelines.tuning.tune import tune
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.evaluation.bootstrap import bootstrap_means
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.models import catalog
from recsys_vae.models.blend import BlendConfig
from recsys_vae.recommender import FallbackChain
from tests.benchmarks.quickstart import ml_100k
from tests.benchmarks.records import existing, record

BENCHMARK, DATASET, SPLIT, METRIC = "signals", "bench-ml-100k", "strong", "ndcg@100"
SOLVED_TRIALS, TRAINED_TRIALS = 40, 20


def main() -> None:
    """Measure what is missing and print all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=180.0, help="seconds of the comparison")
    parser.add_argument("--models", default="", help="names with commas to measure at full budget; all but blends")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--print", action="store_true", help="of models at full budget, those that were measured")
    options = parser.parse_args()
    found = record(BENCHMARK, "compare-pick", lambda: _compared(options.budget), fresh=options.fresh)["figures"]
    picked = record(BENCHMARK, "compare-picked", lambda: _tested(found["pick"], found["settings"]), fresh=options.fresh)
    names = [name for name in options.models.split(",") if name] or _names()
    if options.print:
        names = [name for name in names if existing(BENCHMARK, f"compare-full-{name}")]
    full = {name: record(BENCHMARK, f"compare-full-{name}", lambda name=name: _at_full_budget(name)) for name in names}  # type: ignore[misc]
    values = {name: np.array(one["figures"]["per_user"]) for name, one in full.items()}
    ours = np.array(picked["figures"]["per_user"])
    for name in sorted(values, key=lambda name: -values[name].mean()):
        print(f"{name:<16} {METRIC} {values[name].mean():.4f} on test, at full budget")
    print(f"{found['pick']:<16} {METRIC} {ours.mean():.4f} on test, as compare picked and set it")
    best = max(values, key=lambda name: values[name].mean())
    gap = bootstrap_means((values[best] - ours)[:, None])[0]
    told = {
        "compare_pick": found["pick"],
        "compare_regret": [round(gap.low, 4), round(gap.high, 4)],
        "compare_regret_mean": round(gap.difference, 4),
        "compare_best": best,
        "compare_seconds": round(found["seconds"], 1),
    }
    print(json.dumps(told))


def _names() -> list[str]:
    """Every model that this dataset can train; blends are made of the others."""
    return [name for name in catalog.names() if not isinstance(catalog.entry(name).config(), BlendConfig)]


def _dataset() -> DatasetDir:
    ml_100k()
    return DatasetDir.open(DATASET)


def _compared(budget: float) -> dict[str, Any]:
    """The comparison, begun anew."""
    question = Question(_dataset(), SPLIT, budget=budget, name="benchmark")
    shutil.rmtree(question.folder, ignore_errors=True)
    found = compare(question)
    write_page(found)
    return as_json(found)


def _at_full_budget(name: str) -> dict[str, Any]:
    """A model with the best of many settings."""
    dataset = _dataset()
    if not catalog.search_space(name):
        return _tested(name, {})
    search = Search.of(name, {}, split=SPLIT, metric=METRIC)
    trials = TRAINED_TRIALS if search.base.is_trained_by_gradient else SOLVED_TRIALS
    study = f"benchmark-{name}"
    resume = dataset.study_path(study).exists()
    tuned = tune(dataset, search, trials=trials, study=study, resume=resume)
    return _tested(name, {**tuned.search.first(), **tuned.best.settings})


def _tested(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """A model trained with these settings, as it would be served to the test users."""
    task = Task.of(_dataset(), SPLIT, (METRIC, "coverage@20", "novelty@20"))
    fitted = train_so_far(task, specify(name, settings), checkpoint=None)
    shown = measure(task, fitted.model)
    train, test = task.split.train, task.known.of(load_split(_dataset(), SPLIT).test)
    chain = FallbackChain(Bundle.unwritten(fitted.model, train.items, train.item_counts(), shown.tiers))
    found = evaluate(chain, test, [METRIC])
    return {"settings": settings, "mean": found.means[METRIC], "per_user": found.per_user[METRIC].round(6).tolist()}


if __name__ == "__main__":
    main()
