"""A second stage on MovieLens 1M, strong split: `python -m tests.benchmarks.signals_ranker [--only accuracy,speed]`.

LightGBM's trees over the candidates of three models, beside each of them and a blend of two. The models' settings stand
in configs/ml-1m/, chosen on the validation users; the trees learn from these users too, their number and leaves chosen
on folds of them that are held out in turn. The test part is read once a reported model. Release years are those that
titles end with.

    accuracy    ndcg of the 603 test users; differences with 95 % intervals, paired over users
    speed       processor time of an answer in process, with and without the second stage in turns; and how many lists
                differ when users are asked alone and together

One record a part under results/signals/; what is there is printed, not measured again (--fresh does). The last line is
JSON.
"""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.item_table import item_table
from pipelines.training.ranker import learn_ranker
from recsys_vae.bundles.additions import with_ranker
from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.bundles.second_stage import ModelPart
from recsys_vae.evaluation.bootstrap import paired_bootstrap
from recsys_vae.evaluation.evaluate import Evaluation, evaluate
from recsys_vae.evaluation.splits import Split
from recsys_vae.home import home
from recsys_vae.models.blend import Blend, BlendConfig, Part
from recsys_vae.protocols import Recommender, Scorer
from recsys_vae.recommender import FallbackChain
from recsys_vae.second_stage.learning import LearningConfig
from recsys_vae.training.blend_weight import choose_weight
from service.ranking.ranking import answer
from service.ranking.results import Query
from service.ranking.served_model import Catalogue
from tests.benchmarks.models import resumable, specified
from tests.benchmarks.quickstart import ml_1m
from tests.benchmarks.records import record

BENCHMARK, DATASET = "signals", "bench-ml-1m"
MODELS = {"elsa": {"seed": 0}, "edlae": {}, "graph-filter": {}}
"""The first answers where no candidate does; and its seed."""
BLENDED = ("elsa", "edlae")
LEAVES = (7, 15)
"""What is tried of the trees."""
METRICS = ("ndcg@100", "ndcg@20")
K, ASKED = 20, 400
"""Items of a list, and users, whose answers are timed."""


def models(split: Split) -> dict[str, Recommender]:
    """All models, fitted to the training part."""
    specs = {name: specified("ml-1m", name, **settings) for name, settings in MODELS.items()}
    return {name: resumable(one, split.train.matrix, split.validation, "ml1m").model for name, one in specs.items()}


def bundles(split: Split, fitted: Mapping[str, Recommender]) -> dict[str, Path]:
    """A bundle of each model, with what is known of the items."""
    table, train = item_table(DatasetDir.at(DATASET)), split.train
    assert table is not None
    known = table.with_columns(year=pl.col("title").str.extract(r"\((\d{4})\)$").cast(pl.Int64))
    origin = Provenance(
        DATASET, dataset_fingerprint=train.fingerprint(), trained_on="split:strong/train", n_users=train.n_users
    )
    folder = home() / "signals" / "ranker"
    for name, model in fitted.items():
        counts = train.item_counts()
        write_bundle(folder / name, model, train.items, popularity=counts, provenance=origin, item_table=known)
    return {name: folder / name for name in fitted}


def ranked(paths: Mapping[str, Path]) -> tuple[Path, dict[str, Any]]:
    """The bundle with the trees that do best on held-out validation users, and what was tried."""
    first, *others = (Bundle.load(path) for path in paths.values())
    tried = {}
    for leaves in LEAVES:
        started = time.process_time()
        found = learn_ranker(first, others, DatasetDir.at(DATASET), config=LearningConfig(leaves=leaves))
        seconds = round(time.process_time() - started, 1)
        told = {"trees": found.ranker.trees.n_trees, "held_out_ndcg": found.after, "first_ndcg": found.before}
        tried[leaves] = (found, told | {"candidates_hold": found.found, "pairs": found.pairs, "cpu_seconds": seconds})
    best = max(tried, key=lambda leaves: tried[leaves][0].after)
    to = home() / "signals" / "ranker" / "ranked"
    with_ranker(next(iter(paths.values())), to, tried[best][0].ranker, [ModelPart.of(one.manifest) for one in others])
    return to, {"leaves": best, "tried": {str(leaves): told for leaves, (_, told) in tried.items()}}


def blend_of(split: Split, fitted: Mapping[str, Recommender]) -> Blend:
    """Of two of the models, its weight chosen on validation."""
    autoencoder, linear = (Part(name, type(fitted[name]), fitted[name].config) for name in BLENDED)  # type: ignore[attr-defined]
    made = Blend(split.train.n_items, BlendConfig(autoencoder, linear), [fitted[name] for name in BLENDED])
    choose_weight(made, split.validation, METRICS[0])
    return made


def accuracy() -> dict[str, Any]:
    """Figures of every model and of the second stage over them."""
    split = ml_1m()
    fitted = models(split)
    scorers: dict[str, Scorer] = {**fitted, "blend": blend_of(split, fitted)}
    chosen = {name: evaluate(one, split.validation, METRICS[:1]).means[METRICS[0]] for name, one in scorers.items()}
    path, told = ranked(bundles(split, fitted))
    scorers["ranker"] = FallbackChain(Bundle.load(path))
    found = {name: evaluate(one, split.test, METRICS) for name, one in scorers.items()}
    single = max(fitted, key=lambda name: chosen[name])
    return {
        "validation_ndcg@100": chosen,
        "learning": told,
        "test": {name: one.means for name, one in found.items()},
        "test_standard_errors": {name: one.standard_errors for name, one in found.items()},
        "best_single": single,
        "differences": {
            f"ranker_minus_{name}": difference(found["ranker"], found[name]) for name in dict.fromkeys((single, *found))
            if name != "ranker"
        },
    }  # fmt: skip


def difference(ours: Evaluation, theirs: Evaluation) -> dict[str, list[float]]:
    """Of each metric: the mean, and its 95 % interval."""
    found = {name: paired_bootstrap(ours.per_user[name], theirs.per_user[name]) for name in METRICS}
    return {name: [round(v, 4) for v in (one.difference, one.low, one.high)] for name, one in found.items()}


def speed() -> dict[str, Any]:
    """Processor milliseconds of an answer, and agreement of users asked alone and together."""
    split, folder = ml_1m(), home() / "signals" / "ranker"
    chains = {name: FallbackChain(Bundle.load(folder / name)) for name in (next(iter(MODELS)), "ranked")}
    catalogues, histories = {name: Catalogue(chain) for name, chain in chains.items()}, split.test.histories[:ASKED]
    times: dict[str, list[float]] = {name: [] for name in catalogues}
    for user in range(ASKED):
        history = dict.fromkeys(split.train.items.ids(histories[[user]].indices), 1.0)
        for name, catalogue in catalogues.items():
            started = time.process_time()
            answer(catalogue, Query(K, history))
            times[name].append(1000 * (time.process_time() - started))
    found: dict[str, Any] = {"items": split.train.n_items, "answers": ASKED - WARM_UP}
    for name, values in times.items():
        found[name] = dict(zip(("p50_ms", "p99_ms"), np.quantile(values[WARM_UP:], [0.5, 0.99]).round(2), strict=True))
    together = chains["ranked"].recommend(histories, K).rows
    alone = np.concatenate([chains["ranked"].recommend(histories[[user]], K).rows for user in range(ASKED)])
    return found | {"lists_that_differ_alone_and_together": int((together != alone).any(axis=1).sum())}


WARM_UP = 20
PARTS = {"accuracy": accuracy, "speed": speed}


def main() -> None:
    """Measure what is missing, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    arguments = parser.parse_args()
    found = {}
    for part in arguments.only.split(","):
        found[part] = record(BENCHMARK, f"ranker-ml1m-{part}", PARTS[part], fresh=arguments.fresh)["figures"]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
