"""Warm starts against full training: `python -m tests.benchmarks.warm_start`.

A log in time order: the first four fifths are there at the start, the last fifth arrives as seven updates. Mult-VAE
with its default settings is trained on the start, then taken further seven times, each from the one before, as `recsys
update` does; and it is trained anew on everything. Validation and test users are in none of these trainings. The gap is
ndcg@100 on test users after the last update, warm less anew, averaged over the seeds, with the 95 % interval of a
bootstrap paired over users. Full training chooses its epoch on validation; updates look at nobody.

Time is that of the processor, which other work on the machine does not change much. Of full training only the epochs up
to the best one count, not those in which it waits for a better one.

Items that did not exist at the start are reported apart: ndcg@100 of the test users who are asked for such items, with
these as the only targets. In MovieLens 1M they are few, and have few users. So the same is done once more where 200
items, drawn at random, are launched with the first update: the start does not hold what was done with them.

Settings are chosen on validation, seed 0 (--choose). Records lie in results/lifecycle, one a training or update, and
the weights that they need of each other under RECSYS_HOME: an interrupted run goes on where it was.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load_file, save_file

from pipelines.training.fit import ModelSpec
from recsys_vae.errors import EmptyDataError
from recsys_vae.evaluation.bootstrap import paired_bootstrap
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.home import home
from recsys_vae.models import catalog
from recsys_vae.protocols import Recommender
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.fit import Fitted, fit
from recsys_vae.training.warm_start import WarmStart, WarmStartConfig
from tests.benchmarks.records import existing, record
from tests.benchmarks.warm_start_world import UPDATES, Step, world

BENCHMARK, METRIC, MODEL = "lifecycle", "ndcg@100", "mult-vae"
SEEDS = (0, 1, 2, 3, 4)
LAUNCHED = 200
CHOICES = (
    WarmStartConfig(replay=0.1),
    WarmStartConfig(replay=0.3),
    WarmStartConfig(replay=1.0),
    WarmStartConfig(replay=0.3, epochs=4),
    WarmStartConfig(replay=0.3, epochs=16),
    WarmStartConfig(replay=0.3, learning_rate=1.0),
)
"""Settings that are tried."""


def spec_of(seed: int) -> ModelSpec:
    """The model and its training, as by default."""
    return ModelSpec(MODEL, catalog.configure(MODEL, {}), TrainingConfig(seed=seed, device="cpu"))


def measure_full(dataset: str, seed: int, launched: int, number: int) -> dict[str, Any]:
    """Train on all that there is after some updates; keeps the weights."""
    step = world(dataset, launched).step(number)
    started = time.process_time()
    fitted = fit(spec_of(seed), step.interactions.matrix, validation=step.validation)
    seconds = time.process_time() - started
    keep(fitted.model, name_of(dataset, seed, launched, f"full{number}"))
    figures = {"epochs": fitted.epochs, "epochs_run": len(fitted.history), "cpu_seconds": seconds}
    return (
        figures | {"cpu_seconds_to_best": seconds * fitted.epochs / len(fitted.history)} | measured(fitted.model, step)
    )


def measure_warm(dataset: str, seed: int, launched: int, number: int) -> dict[str, Any]:
    """Go on by one update from the one before, or from the start; keeps the weights."""
    there, name = world(dataset, launched), partial(name_of, dataset, seed, launched)
    before, step = there.step(number - 1), there.step(number)
    parent = kept(name(f"warm{number - 1}" if number > 1 else "full0"), before)
    fitted, seconds = updated(parent, before, step, spec_of(seed), number, epochs_of(name("full0")), WarmStartConfig())
    keep(fitted.model, name(f"warm{number}"))
    figures: dict[str, Any] = {"epochs": fitted.epochs, "cpu_seconds": seconds}
    return figures | (measured(fitted.model, step) if number == UPDATES else {})


def try_settings(dataset: str, config: WarmStartConfig) -> dict[str, Any]:
    """All updates by some settings, measured on validation."""
    there, start = world(dataset), name_of(dataset, 0, 0, "full0")
    before = there.step(0)
    parent, seconds, values = kept(start, before), [], []
    for number in range(1, UPDATES + 1):
        step = there.step(number)
        fitted, taken = updated(parent, before, step, spec_of(0), number, epochs_of(start), config)
        parent, before = fitted.model, step
        seconds.append(round(taken, 2))
        values.append(round(evaluate(parent, step.validation, [METRIC]).means[METRIC], 5))
    return {"cpu_seconds": seconds, "validation": values}


def epochs_of(name: str) -> int:
    """Epochs of a full training that was recorded."""
    found = existing(BENCHMARK, name)
    assert found is not None
    return int(found["figures"]["epochs"])


def updated(
    parent: Recommender, before: Step, step: Step, spec: ModelSpec, number: int, epochs: int, config: WarmStartConfig
) -> tuple[Fitted, float]:
    """One update, and the seconds of the processor that it took."""
    started = time.process_time()
    rows = before.interactions.items.rows(step.interactions.items.values)
    start = WarmStart(parent, rows, step.has_news, epochs, number, config=config)
    return fit(spec, step.interactions.matrix, warm_start=start), time.process_time() - started


def measured(model: Recommender, step: Step) -> dict[str, Any]:
    """On validation and test users; for items that did not exist at the start apart."""
    test = evaluate(model, step.test, [METRIC])
    new = step.test.targets.copy()
    new.data = np.where(step.is_new[new.indices], new.data, 0).astype(np.float32)
    new.eliminate_zeros()
    found: dict[str, Any] = {
        "validation": evaluate(model, step.validation, [METRIC]).means[METRIC],
        "test": test.means[METRIC],
        "per_user": [round(float(value), 6) for value in test.per_user[METRIC]],
        "new_targets": int(new.nnz),
        "new_items": int(step.is_new.sum()),
    }
    try:
        apart = evaluate(model, HeldOut(step.test.users, step.test.histories, new), [METRIC])
    except EmptyDataError:
        return found
    return found | {"per_user_new": [round(float(value), 6) for value in apart.per_user[METRIC]]}


def name_of(dataset: str, seed: int, launched: int, what: str) -> str:
    """Of a record."""
    return f"{dataset}-{f'launched{launched}-' if launched else ''}seed{seed}-{what}"


def keep(model: Recommender, name: str) -> None:
    """Keep weights for updates."""
    path = _weights(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.tensors(), path)


def kept(name: str, step: Step) -> Recommender:
    """The model that was trained at a step."""
    model = catalog.create(MODEL, step.interactions.n_items, spec_of(0).config)
    model.load_tensors(load_file(_weights(name)))
    return model


def _weights(name: str) -> Path:
    return home() / "warm-start" / f"{name}.safetensors"


def runs(dataset: str, seeds: Sequence[int], launched: int) -> dict[str, Callable[[], dict[str, Any]]]:
    """Every training by name, in the order in which they need each other."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}
    for seed in seeds:
        for number in (0, UPDATES):
            name = name_of(dataset, seed, launched, f"full{number}")
            found[name] = partial(measure_full, dataset, seed, launched, number)
        for number in range(1, UPDATES + 1):
            name = name_of(dataset, seed, launched, f"warm{number}")
            found[name] = partial(measure_warm, dataset, seed, launched, number)
    return found


def choose(dataset: str, fresh: bool) -> None:
    """Try settings on validation, seed 0, and print what came."""
    record(BENCHMARK, name_of(dataset, 0, 0, "full0"), partial(measure_full, dataset, 0, 0, 0))
    table = Table("settings", *(f"after {number}" for number in range(1, UPDATES + 1)), "CPU seconds an update")
    for config in CHOICES:
        name = f"{dataset}-choice-epochs{config.epochs}-replay{config.replay:g}-rate{config.learning_rate:g}"
        found = record(BENCHMARK, name, partial(try_settings, dataset, config), fresh=fresh)["figures"]
        cells = (f"{value:.4f}" for value in found["validation"])
        table.add_row(name, *cells, f"{np.mean(found['cpu_seconds']):.1f}")
    Console(width=160).print(table)


def compared(dataset: str, launched: int, key: str = "per_user") -> list[float] | None:
    """95 % interval of the gap over the seeds that were measured; None where there are none."""
    pairs = [pair for seed in SEEDS if (pair := _pair(dataset, seed, launched)) and key in pair[0]]
    if not pairs:
        return None
    warm, full = (np.array([figures[key] for figures in side]) for side in zip(*pairs, strict=True))
    found = paired_bootstrap(warm, full)
    return [round(found.low, 4), round(found.high, 4)]


def _pair(dataset: str, seed: int, launched: int) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Figures after the last update: warm, with the seconds of every update, and anew; None until all are measured."""
    name = partial(name_of, dataset, seed, launched)
    full = existing(BENCHMARK, name(f"full{UPDATES}"))
    warm = [existing(BENCHMARK, name(f"warm{number}")) for number in range(1, UPDATES + 1)]
    if full is None or not all(warm):
        return None
    figures = [one["figures"] for one in warm if one]
    return figures[-1] | {"cpu_seconds": [one["cpu_seconds"] for one in figures]}, full["figures"]


def summary(dataset: str) -> dict[str, Any]:
    """The last line."""
    pairs = [pair for seed in SEEDS if (pair := _pair(dataset, seed, 0))]
    share = None
    if pairs:
        update = np.mean([warm["cpu_seconds"] for warm, _ in pairs])
        share = round(float(update / np.mean([full["cpu_seconds_to_best"] for _, full in pairs])), 3)
    return {
        "vae_update_gap": compared(dataset, 0),
        "vae_update_time_share": share,
        "new_items": {"came": new_items(dataset, 0), "launched": new_items(dataset, LAUNCHED)},
        "seeds": len(pairs),
    }


def new_items(dataset: str, launched: int) -> dict[str, Any] | None:
    """How well items are found that did not exist at the start."""
    pairs = [pair for seed in SEEDS if (pair := _pair(dataset, seed, launched)) and "per_user_new" in pair[0]]
    if not pairs:
        return None
    warm, full = (float(np.mean([pair[side]["per_user_new"] for pair in pairs])) for side in (0, 1))
    first = pairs[0][0]
    return {
        "items": first["new_items"],
        "targets": first["new_targets"],
        "warm": round(warm, 4),
        "full": round(full, 4),
        "gap": compared(dataset, launched, "per_user_new"),
        "seeds": len(pairs),
    }


def show(dataset: str) -> None:
    """Print what was measured, seed by seed."""
    table = Table("seed", "launched", "warm", "full", "update, CPU s", "full to its best epoch, CPU s", "epochs")
    for launched in (0, LAUNCHED):
        for seed in SEEDS:
            if pair := _pair(dataset, seed, launched):
                warm, full = pair
                table.add_row(
                    str(seed),
                    str(launched),
                    f"{warm['test']:.4f}",
                    f"{full['test']:.4f}",
                    f"{np.mean(warm['cpu_seconds']):.1f}",
                    f"{full['cpu_seconds_to_best']:.1f}",
                    str(full["epochs"]),
                )
    Console(width=140).print(table)


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="movielens-1m", choices=["movielens-100k", "movielens-1m"])
    parser.add_argument("--seeds", type=int, default=1, help="how many of the five")
    parser.add_argument("--launched", action="store_true", help="launch 200 items with the first update instead")
    parser.add_argument("--choose", action="store_true", help="try settings on validation")
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    if arguments.choose:
        choose(arguments.dataset, arguments.fresh)
    elif not arguments.print:
        wanted = runs(arguments.dataset, SEEDS[: arguments.seeds], LAUNCHED if arguments.launched else 0)
        for name, run in wanted.items():
            record(BENCHMARK, name, run, fresh=arguments.fresh)
    show(arguments.dataset)
    print(json.dumps(summary(arguments.dataset)))


if __name__ == "__main__":
    main()
