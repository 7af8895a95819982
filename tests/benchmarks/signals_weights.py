"""What weights, half-life and dislikes bring beside the binary twin of every model: the part of `make bench-signals`.

- Simulated logs with known truth (signals_weights_world.py): the mean true value of the top 20. Settings are fixed
  beforehand; five seeds, each of the log and of the training. The twin learns from every event as a yes, or, of
  dislikes, from what is liked alone (`-likes`). Intervals are bootstraps over the users of all seeds.
- MovieLens 1M (signals_weights_movielens.py): ratings as weights, ratings of 1 and 2 as dislikes. For each model the
  penalty of the twin, the kind of weights and how much dislikes count are chosen on validation by ndcg@100; the test
  part is read once each. Models trained by gradient have the twin's settings and number of epochs planned, their best
  epoch chosen on validation, as many seeds as `--seeds` says. Intervals are bootstraps paired over the test users.

Every run is a record under results/signals; what is there is printed, not measured again (--fresh does).
`--only WORD ...` measures the runs whose names hold one of the words.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array

from recsys_vae.data.signals import SignalRules, shown_to
from recsys_vae.evaluation.bootstrap import bootstrap_means, paired_bootstrap
from recsys_vae.models.catalog import configure
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.fit import ModelSpec, fit
from tests.benchmarks import signals_weights_movielens as movielens
from tests.benchmarks.records import existing, record
from tests.benchmarks.signals_weights_world import N_USERS, SCENARIOS, World, world

BENCHMARK = "signals"
SEEDS = (0, 1, 2, 3, 4)
SIMULATED: dict[str, dict[str, Any]] = {
    "ease": {"l2": 200.0},
    "edlae": {"l2": 100.0},
    "elsa": {"factors": 32},
    "graph-filter": {"rank": 32},
    "mult-dae": {"hidden": 64},
    "mult-vae": {"hidden": 64, "latent": 32},
    "rec-vae": {"hidden": 64, "latent": 32},
    "h-vamp": {"hidden": 64, "latent": 32, "pseudo_inputs": 50},
    "conditional-vae": {"hidden": 64, "latent": 32},
}
"""Models and their settings in the simulated logs."""
TRAINING = TrainingConfig(epochs=30, batch_size=200, patience=0, learning_rate=3e-3)
CHOSEN: dict[str, tuple[dict[str, Any], SignalRules]] = {
    "weights": ({"weights": "value"}, SignalRules(keep="sum")),
    "half-life": ({"weights": "value"}, SignalRules(keep="sum", half_life=45.0)),
    "dislikes": ({"dislikes": 0.5}, SignalRules(keep="sum")),
}
"""What each scenario's model has that its twin has not."""
WITHOUT_DISLIKES = ("graph-filter",)
KINDS = ("binary", "log", "value")
COUNTED = (0.1, 0.25, 0.5)
"""How much dislikes count, of those that are tried."""
CLOSED: dict[str, list[dict[str, Any]]] = {
    "ease": [{"l2": l2} for l2 in (250.0, 500.0, 1000.0)],
    "edlae": [{"dropout": 0.4, "l2": l2} for l2 in (100.0, 300.0)],
    "graph-filter": [{"rank": 64, "low_pass": 0.0, "sharpening": t} for t in (2.0, 3.0)],
}
"""Closed-form models on MovieLens 1M, with the settings that are tried for each kind of weights."""
LEARNED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "elsa": ({"factors": 512}, {"epochs": 20, "learning_rate": 0.01}),
    "mult-dae": ({}, {"epochs": 40, "batch_size": 200, "learning_rate": 2e-3}),
    "mult-vae": ({}, {
        "epochs": 60, "batch_size": 200, "learning_rate": 3e-3, "learning_rate_decay": 0.7, "kl_weight": 0.4,
        "kl_anneal": 1.0,
    }),
    "rec-vae": ({}, {"epochs": 80, "batch_size": 500}),
    "h-vamp": ({}, {"epochs": 60, "batch_size": 200}),
    "conditional-vae": ({}, {"epochs": 60, "batch_size": 200}),
}  # fmt: skip
"""Models trained by gradient on MovieLens 1M: their settings and the training's."""

Array = NDArray[np.float64]
Run = Callable[[], Mapping[str, Any]]


def kept(values: Array) -> str:
    """Values by user on one line of a record."""
    return " ".join(f"{value:.5g}" for value in values)


def read(line: str) -> Array:
    """What `kept` wrote."""
    return np.array(line.split(), dtype=np.float64)


def learned(name: str, settings: Mapping[str, Any], histories: csr_array, training: TrainingConfig) -> Any:
    """A model that was fitted to signed histories."""
    return fit(ModelSpec(name, configure(name, settings), training), histories).model


def simulate(scenario: str, name: str, seed: int) -> dict[str, Any]:
    """A model and its twins on one log."""
    log, (extra, rules) = world(scenario, seed), CHOSEN[scenario]
    found = {"binary": _reached(log, name, {}, log.histories(signs=False), seed)}
    if scenario == "dislikes":
        found["likes"] = _reached(log, name, {}, log.histories(), seed)
    found["signals"] = _reached(log, name, extra, log.histories(rules), seed)
    return {kind: kept(values) for kind, values in found.items()}


def _reached(log: World, name: str, extra: Mapping[str, Any], histories: csr_array, seed: int) -> Array:
    training = TrainingConfig(**{**vars(TRAINING), "seed": seed})
    model = learned(name, SIMULATED[name] | dict(extra), histories[:N_USERS], training)
    return log.reached(model, shown_to(model, histories))


def search(name: str) -> dict[str, Any]:
    """A closed-form model on MovieLens 1M: choices on validation, each kind's best on the test part."""
    found = {kind: _best(name, [{**one, "weights": kind} for one in CLOSED[name]]) for kind in KINDS}
    counts = () if name in WITHOUT_DISLIKES else COUNTED
    for count in counts:
        found[f"dislikes-{count:g}"] = _best(name, [{**found["binary"]["settings"], "dislikes": count}])
    return found


def _best(name: str, tried: list[dict[str, Any]]) -> dict[str, Any]:
    """The settings with the highest ndcg@100 on validation, measured on the test part."""
    split, models = movielens.ratings(), []
    best: dict[str, Any] = {}
    for settings in tried:
        candidate = learned(name, settings, split.train, TRAINING)
        values = {m: round(float(of.mean()), 5) for m, of in movielens.measured(candidate, split.validation).items()}
        if not best or values["ndcg@100"] > best["validation"]["ndcg@100"]:
            best, models = {"settings": settings, "validation": values}, [candidate]
    test = movielens.measured(models[0], split.test)
    return best | {"test": {metric: kept(of) for metric, of in test.items()}}


def train(name: str, extra: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """A model trained by gradient on MovieLens 1M."""
    split, (settings, training) = movielens.ratings(), LEARNED[name]
    config = TrainingConfig(**{"patience": 15, **training, "seed": seed})
    spec = ModelSpec(name, configure(name, settings | dict(extra)), config)
    fitted = fit(spec, split.train, validation=split.positives)
    validation = movielens.measured(fitted.model, split.validation)
    found = movielens.measured(fitted.model, split.test)
    return {
        "validation": {metric: round(float(of.mean()), 5) for metric, of in validation.items()},
        "test": {metric: kept(of) for metric, of in found.items()},
        "epochs": fitted.epochs,
    }


def runs(seeds: int) -> dict[str, Run]:
    """Every run by name: the cheap ones first."""
    found: dict[str, Run] = {}
    for seed, scenario, name in product(SEEDS, SCENARIOS, SIMULATED):
        if not (scenario == "dislikes" and name in WITHOUT_DISLIKES):
            found[f"weights-simulated-{scenario}-{name}-seed{seed}"] = partial(simulate, scenario, name, seed)
    for name in CLOSED:
        found[f"weights-ml1m-{name}"] = partial(search, name)
    for seed, name, (kind, extra) in product(SEEDS[:seeds], LEARNED, variants()):
        found[f"weights-ml1m-{name}-{kind}-seed{seed}"] = partial(train, name, extra, seed)
    return found


def variants() -> list[tuple[str, dict[str, Any]]]:
    """What is tried of a model that is trained by gradient: its name in the records and its settings."""
    return [
        *((kind, {"weights": kind}) for kind in KINDS),
        *((f"dislikes-{count:g}", {"dislikes": count}) for count in COUNTED[1:]),
    ]


def of_movielens(name: str) -> dict[str, dict[str, Any]]:
    """By variant, what was measured of a model: means on validation, and values of the test users over its seeds."""
    if name in CLOSED:
        run = existing(BENCHMARK, f"weights-ml1m-{name}")
        return {} if run is None else dict(run["figures"])
    found: dict[str, dict[str, Any]] = {}
    for kind, _ in variants():
        records = [existing(BENCHMARK, f"weights-ml1m-{name}-{kind}-seed{seed}") for seed in SEEDS]
        figures = [one["figures"] for one in records if one is not None]
        if figures:
            found[kind] = {
                "validation": {m: float(np.mean([f["validation"][m] for f in figures])) for m in movielens.METRICS},
                "test": {m: kept(np.mean([read(f["test"][m]) for f in figures], axis=0)) for m in movielens.METRICS},
                "seeds": len(figures),
            }
    return found


def gain(name: str, prefix: str, metric: str) -> dict[str, Any] | None:
    """The best variant of a sort by validation, less the binary twin, on the test part; None where one is missing."""
    found = of_movielens(name)
    names = [kind for kind in found if kind != "binary" and kind.startswith("dislikes") == (prefix == "dislikes")]
    sort = {kind: found[kind] for kind in names}
    if "binary" not in found or not sort:
        return None
    best = max(sort, key=lambda kind: sort[kind]["validation"]["ndcg@100"])
    interval = paired_bootstrap(read(sort[best]["test"][metric]), read(found["binary"]["test"][metric]))
    helps = sort[best]["validation"]["ndcg@100"] > found["binary"]["validation"]["ndcg@100"]
    return {"of": best, "interval": [round(interval.low, 4), round(interval.high, 4)], "on_validation": helps,
            "difference": round(interval.difference, 4), "seeds": sort[best].get("seeds", 1)}  # fmt: skip


def simulated(scenario: str, name: str, twin: str = "binary") -> list[float] | None:
    """Interval of the relative gain in true value over a twin, over the users of all seeds measured."""
    records = [existing(BENCHMARK, f"weights-simulated-{scenario}-{name}-seed{seed}") for seed in SEEDS]
    figures = [one["figures"] for one in records if one is not None]
    if not figures or twin not in figures[0]:
        return None
    ours, theirs = (np.concatenate([read(one[kind]) for one in figures]) for kind in ("signals", twin))
    interval = bootstrap_means((ours - theirs)[:, None])[0]
    return [round(float(bound / theirs.mean()), 4) for bound in (interval.low, interval.high)]


def show() -> None:
    """Print the tables."""
    table = Table("simulated", *SCENARIOS, "dislikes - likes", title="gain in true value of the top 20, 95 %")
    for name in SIMULATED:
        cells = [simulated(scenario, name) for scenario in SCENARIOS]
        table.add_row(name, *(str(cell or "") for cell in (*cells, simulated("dislikes", name, "likes"))))
    Console(width=140).print(table)
    table = Table("MovieLens 1M", "variant", "seeds", "helps on validation", *movielens.METRICS)
    for name, sort in product((*CLOSED, *LEARNED), ("weights", "dislikes")):
        if (found := gain(name, sort, "ndcg@100")) is not None:
            gains = [gain(name, sort, metric) for metric in movielens.METRICS]
            ends = [str(one["interval"]) for one in gains if one is not None]
            table.add_row(name, found["of"], str(found["seeds"]), str(found["on_validation"]), *ends)
    Console(width=140).print(table)


def summary() -> dict[str, Any]:
    """The last line: gains on MovieLens 1M, those of dislikes of the model that is best without, and simulated ones."""
    names = [name for name in (*CLOSED, *LEARNED) if gain(name, "weights", "ndcg@100")]
    rated = [name for name in names if gain(name, "dislikes", "ndcg@100")]
    best = max(rated, key=lambda name: of_movielens(name)["binary"]["validation"]["ndcg@100"], default=None)
    return {
        "weights_gain": {name: (gain(name, "weights", "graded@20") or {}).get("interval") for name in names},
        "weights_gain_ndcg100": {name: (gain(name, "weights", "ndcg@100") or {}).get("interval") for name in names},
        "dislike_gain": best and (gain(best, "dislikes", "ndcg@100") or {}).get("interval"),
        "dislike_gain_dislike20": best and (gain(best, "dislikes", "dislike@20") or {}).get("interval"),
        "simulated": {scenario: {name: simulated(scenario, name) for name in SIMULATED} for scenario in SCENARIOS},
    }


def main() -> None:
    """Measure what is missing, print everything, and the figures as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="words, one of which a run's name holds")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of what is trained by gradient on MovieLens 1M")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    wanted = {} if arguments.show else runs(arguments.seeds)
    for name, measure in wanted.items():
        if not arguments.only or any(word in name for word in arguments.only):
            record(BENCHMARK, name, measure, fresh=arguments.fresh)
    show()
    print(json.dumps(summary()))


if __name__ == "__main__":
    main()
