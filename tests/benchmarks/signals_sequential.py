"""Models that go by order on MovieLens 1M, each user's last item asked for, all items ranked.

    python -m tests.benchmarks.signals_sequential [--only NAME ...] [--seeds 0 ...] [--print]

Settings are chosen on the validation items of the first seed; the test items are read once a reported run; nothing is
trained again with the validation items. RecBole's SASRec is trained by RecBole on the same sequences, its lists are
measured here. One record a run under results/signals/; what is there is printed, not measured again. Ends with a line
of JSON. `hr@10` of one target is `recall@10`.

`--only speed` times steps of both in turns, two threads each, on an idle machine: steps an epoch times seconds a step,
and that times the epochs that the recorded runs needed.
"""

import argparse
import json
import os
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys_vae.data.signals import in_order
from recsys_vae.evaluation.bootstrap import paired_bootstrap
from recsys_vae.evaluation.evaluate import Evaluation, evaluate
from recsys_vae.evaluation.ordered_splits import Events, last_out
from recsys_vae.evaluation.splits import Split
from recsys_vae.home import home
from recsys_vae.models.blend import Blend
from recsys_vae.models.catalog import configure
from recsys_vae.protocols import Recommender
from recsys_vae.training.blend_weight import choose_weight
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.fit import Fitted, ModelSpec, fit
from tests.benchmarks.peers.measure import Listed
from tests.benchmarks.peers.process import Peer
from tests.benchmarks.records import existing, record

BENCHMARK, RUNS = "signals", "ml1m-last-out-5core"
"""Records that begin with `ml1m-last-out-` alone are of an older protocol, which kept films with few ratings."""
FEWEST_RATINGS = 5
SEEDS = (0, 1, 2, 3, 4)
METRICS = ("ndcg@10", "recall@10")
CHOSEN = "ndcg@10"
BY_ORDER = TrainingConfig(
    epochs=60, batch_size=32, learning_rate=1e-3, learning_rate_decay=0.5, patience=6, validation_metric=CHOSEN,
    likelihood="sampled", negatives=1024,
)  # fmt: skip
BLIND = TrainingConfig(validation_metric=CHOSEN)
SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "popularity": ({},),
    "ease": tuple({"l2": l2} for l2 in (50.0, 200.0, 500.0, 1000.0)),
    "edlae": tuple({"l2": l2} for l2 in (50.0, 200.0, 500.0)),
    "graph-filter": ({},),
    "elsa": ({"factors": 256}, {"factors": 512}),
    "ials": tuple({"factors": 128, "iterations": n} for n in (4, 8, 16)),
    "mult-dae": ({},),
    "mult-vae": ({},),
    "rec-vae": ({},),
    "h-vamp": ({},),
    "svae": ({"ahead": 1}, {"ahead": 4}),
    "sasrec": ({"dropout": 0.2},),
    "blend": ({"autoencoder": "sasrec", "linear": "ease"},),
}
"""What is tried of each model on validation; the blend's parts have the settings chosen for them alone."""
SEQUENTIAL = ("sasrec", "svae", "blend")
ONE_SEED = ("popularity", "ease", "edlae", "graph-filter", "ials")
RECBOLE = {"MAX_ITEM_LIST_LENGTH": 200, "hidden_dropout_prob": 0.2, "attn_dropout_prob": 0.2}
"""As published runs set it on this dataset; width 64, two blocks, two heads, softmax over all items by default."""


def ml_1m() -> Split:
    """MovieLens 1M as published runs have it, each user's last item for test, the one before for validation."""
    folder = os.environ.get("RECSYS_DATA_DIR")
    if folder is None:
        raise SystemExit("Set RECSYS_DATA_DIR to a folder that holds movielens-1m/ratings.parquet.")
    ratings = pl.read_parquet(Path(folder) / "movielens-1m" / "ratings.parquet").select(
        "user_id", "movie_id", pl.col("position").cast(pl.Int64)
    )
    return last_out(Events.from_frame(of_films_in_use(ratings), user="user_id", item="movie_id", time="position"))


def of_films_in_use(ratings: pl.DataFrame) -> pl.DataFrame:
    """Ratings but for those of films with fewer than five, which published runs leave out (Kang & McAuley 2018).

    The copy under RECSYS_DATA_DIR gives just these no place among their users' ratings.

    Raises:
        SystemExit: a rating that stays has no place.
    """
    kept = ratings.filter(pl.len().over("movie_id") >= FEWEST_RATINGS)
    if n := kept["position"].null_count():
        raise SystemExit(f"{n} ratings of films with {FEWEST_RATINGS} or more have no position: these are other data.")
    return kept


def fitted(split: Split, name: str, settings: dict[str, Any], seed: int) -> Fitted:
    """A model that has learned the training part, its epoch chosen on validation; an interrupted one goes on."""
    if name == "blend":
        return blended(split, settings, seed)
    training = BY_ORDER if name in SEQUENTIAL else BLIND
    spec = ModelSpec(name, configure(name, settings), replace(training, seed=seed))
    folder = home() / "signals"
    folder.mkdir(parents=True, exist_ok=True)
    told = "-".join(f"{key}{value}" for key, value in settings.items())
    checkpoint = folder / f"{name}-{told}-seed{seed}.safetensors"
    part = split.validation
    return fit(
        spec, split.train.matrix, order=split.train_order, validation=part, checkpoint=checkpoint, resume=True,
        progress=True,
    )  # fmt: skip


def blended(split: Split, settings: dict[str, Any], seed: int) -> Fitted:
    """The blend of the two models as they were fitted alone, its weight chosen on validation."""
    chosen = {part: chosen_settings(split, settings[part]) for part in ("autoencoder", "linear")}
    parts = {part: fitted(split, settings[part], chosen[part], seed) for part in chosen}
    told = {f"{part}.{key}": value for part, found in chosen.items() for key, value in found.items()}
    config = configure("blend", settings | told)
    model = Blend(split.train.n_items, config, [found.model for found in parts.values()])
    weights = choose_weight(model, split.validation, CHOSEN)
    seconds = sum(found.seconds for found in parts.values())
    return Fitted(model, parts["autoencoder"].epochs, seconds, weights=weights)


def chosen_settings(split: Split, name: str) -> dict[str, Any]:
    """Of a model, by its validation values."""
    found = record(BENCHMARK, f"{RUNS}-{name}-search", lambda: search(split, name))
    settings: dict[str, Any] = found["figures"]["best"]["settings"]
    return settings


def search(split: Split, name: str) -> dict[str, Any]:
    """Every candidate's validation value, and the settings with the best."""
    tried = []
    for settings in SETTINGS[name]:
        found = fitted(split, name, settings, SEEDS[0])
        value = evaluate(found.model, split.validation, METRICS).means
        tried.append({"settings": settings, "epochs": found.epochs, "seconds": found.seconds} | value)
    return {"tried": tried, "best": max(tried, key=lambda one: one[CHOSEN])}


def run(split: Split, name: str, seed: int) -> dict[str, Any]:
    """Test figures of the chosen settings."""
    settings = chosen_settings(split, name)
    found = fitted(split, name, settings, seed)
    return on_test(split, found.model) | {
        "settings": settings,
        "epochs": found.epochs,
        "training_seconds": found.seconds,
    }


def on_test(split: Split, model: Recommender | Listed) -> dict[str, Any]:
    """Figures on the test items, each user's too."""
    n = len(split.test.users)
    found: Evaluation = evaluate(model, split.test, METRICS, batch_size=n if isinstance(model, Listed) else None)
    users = {f"per_user_{name}": [round(float(v), 6) for v in found.per_user[name]] for name in METRICS}
    return {name: [found.means[name], found.standard_errors[name]] for name in METRICS} | users


TIMED = RECBOLE | {"train_batch_size": 256}
"""A step of 2,048 sequences, its default, takes over 12 GiB; work a sequence is the same."""


def sequences(split: Split) -> Path:
    """Every asked user's items in order, the test item last, for RecBole."""
    path = home() / "signals" / "sequences.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    assert split.test.order is not None
    shown, targets = in_order(split.test.order), split.test.targets
    rows = [np.append(one, targets.indices[a:b]) for one, (a, b) in zip(shown, pairwise(targets.indptr), strict=True)]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    np.savez(path, items=np.concatenate(rows), starts=starts, n_items=split.train.n_items)
    return path


def recbole(split: Split, seed: int) -> dict[str, Any]:
    """RecBole's SASRec, to the end of its own training."""
    lists = home() / "signals" / f"recbole-{seed}.npy"
    with Peer("recbole", "recbole_sequential", str(sequences(split))) as peer:
        told = peer.ask({"train": RECBOLE, "seed": seed, "lists": str(lists)})
    return on_test(split, Listed(np.load(lists), split.train.n_items)) | {"job": RECBOLE} | told


def speed(split: Split, rounds: int = 3) -> dict[str, Any]:
    """Seconds an epoch of both, at width 64 with two blocks of two heads, in turns."""
    ours, theirs = [], []
    spec = ModelSpec("sasrec", configure("sasrec", {}), replace(BY_ORDER, epochs=1, patience=0))
    with Peer("recbole", "recbole_sequential", str(sequences(split)), threads=2) as peer:
        for _ in range(rounds):
            told = peer.ask({"steps": 2, "settings": TIMED})
            theirs.append(
                {name: told[name] / told["steps"] * told["steps_an_epoch"] for name in ("seconds", "cpu_seconds")}
            )
            started, cpu = time.perf_counter(), time.process_time()
            fit(spec, split.train.matrix, order=split.train_order)
            ours.append({"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu})
    ratios = {
        name: float(np.median([b[name] / a[name] for a, b in zip(ours, theirs, strict=True)])) for name in ours[0]
    }
    return {"ours_an_epoch": ours, "recbole_an_epoch": theirs, "ratio_an_epoch": ratios, "recbole": TIMED}


def summary() -> dict[str, Any]:
    """The figures that are of this file; None where a record is missing.

    Time an epoch may be that of the older protocol, whose sequences are as many and as long but for a few films.
    """
    runs = {name: _runs(name) for name in (*SETTINGS, "recbole")}
    single = {name: found for name, found in runs.items() if found and name not in ("blend", "recbole")}
    best = max(single, key=lambda name: np.mean([one[CHOSEN][0] for one in single[name]]), default=None)
    minus = None
    if best is not None and runs["blend"]:
        interval = paired_bootstrap(_users(runs["blend"]), _users(single[best]))
        minus = [interval.low, interval.high]
    timed = existing(BENCHMARK, f"{RUNS}-speed") or existing(BENCHMARK, "ml1m-last-out-speed")
    ours, theirs = _means(runs["sasrec"]), list(_means(runs["recbole"]).values())
    return {
        "sasrec_ml1m": ours | {"recbole": theirs} if ours else None,
        "sasrec_speedup_recbole": None if timed is None else timed["figures"]["ratio_an_epoch"]["seconds"],
        "best_single_last_out": best,
        "blend_minus_best": minus,
        "blend_minus_best_strong": _strong(),
    }  # fmt: skip


def _strong() -> list[float] | None:
    """Of RecVAE and EDLAE beside the best single model of `bench-models`, ndcg@100 on the strong split; its records."""
    runs = {
        name: [
            one["figures"]["per_user_ndcg@100"]
            for seed in SEEDS
            if (one := existing("models", f"ml1m-{name}-seed{seed}"))
        ]
        for name in ("blend", "rec-vae", "elsa", "edlae", "ease")
    }
    if not all(runs.values()):
        return None
    single = [np.array(found) for name, found in runs.items() if name != "blend"]
    interval = paired_bootstrap(np.array(runs["blend"]), max(single, key=lambda users: float(users.mean())))
    return [interval.low, interval.high]


def _runs(name: str) -> list[dict[str, Any]]:
    found = (existing(BENCHMARK, f"{RUNS}-{name}-seed{seed}") for seed in SEEDS)
    return [one["figures"] for one in found if one]


def _users(runs: list[dict[str, Any]]) -> np.ndarray:
    return np.array([one[f"per_user_{CHOSEN}"] for one in runs])


def _means(runs: list[dict[str, Any]]) -> dict[str, float]:
    names = {"ndcg10": "ndcg@10", "hr10": "recall@10"}
    return {key: float(np.mean([one[name][0] for one in runs])) for key, name in names.items()} if runs else {}


def main() -> None:
    """Measure what is missing, print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=(*SETTINGS, "recbole", "speed"))
    parser.add_argument("--seeds", nargs="*", type=int, default=SEEDS)
    parser.add_argument("--print", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    wanted = () if arguments.print else arguments.only or (*SETTINGS, "recbole", "speed")
    split = ml_1m() if wanted else None
    for name in wanted:
        assert split is not None
        if name == "speed":
            record(BENCHMARK, f"{RUNS}-speed", lambda: speed(split))
            continue
        for seed in arguments.seeds[:1] if name in ONE_SEED else arguments.seeds:
            made = (lambda: recbole(split, seed)) if name == "recbole" else (lambda: run(split, name, seed))  # noqa: B023
            record(BENCHMARK, f"{RUNS}-{name}-seed{seed}", made)
    for name in (*SETTINGS, "recbole"):
        if runs := _runs(name):
            print(
                f"{name:14} {len(runs)} seeds ", " ".join(f"{key} {value:.4f}" for key, value in _means(runs).items())
            )
    print(json.dumps(summary()))


if __name__ == "__main__":
    main()
