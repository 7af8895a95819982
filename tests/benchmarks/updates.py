"""Updates of linear models beside a fit of everything: `python -m tests.benchmarks.updates`.

- equal: MovieLens 100K and 1M (ratings >= 4) in order of time; the last 20 % of the interactions arrive as seven
  updates, each made of the one before. After each, B and the lists of all users against a fit. Low rank throughout: an
  update whose rank is high would be a fit by itself, and equal for nothing (`chosen` is what the cost chooses).
- speed: the 20,000 most popular items of Gowalla, which has no times. A seventh of the last 20 % of its users in a
  random order come in, a week's; and fewer. `update_speedup_20k` is of the week.
- erase: 1,000 users are taken out again, of MovieLens 1M and of Gowalla.

Largest difference of B: over its largest entry. Lists: top 20 without what the user has seen, equal item by item.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from recsys_vae.arrays import floats_of
from recsys_vae.data.change import Change
from recsys_vae.data.columns import ITEM, TIMESTAMP, USER
from recsys_vae.data.interactions import Interactions
from recsys_vae.models import linear_update
from recsys_vae.models.ease import EASE, EASEConfig
from recsys_vae.models.edlae import EDLAE, EDLAEConfig
from recsys_vae.models.linear_autoencoder import LinearAutoencoder
from recsys_vae.top_k import top_k
from tests.benchmarks.quickstart import recsys
from tests.benchmarks.records import record

BENCHMARK = "updates"
MODELS = {"ease": (EASE, EASEConfig(l2=300.0)), "edlae": (EDLAE, EDLAEConfig(dropout=0.3, l2=100.0))}
UPDATES, LATE, ERASED, ITEMS = 7, 0.2, 1000, 20_000
SIZES = (300, 100, 30)
"""Users who come in besides those of a week, of Gowalla's."""
EQUAL_COLUMNS = ("difference", "same_lists", "how", "rank", "largest_error", "new_items", "chosen")
SPEED_COLUMNS = ("users", "pairs", "how", "rank", "seconds", "speedup", "cpu_speedup", "largest_error")


def fitted(name: str, interactions: Interactions) -> LinearAutoencoder:
    """A model fitted to everything."""
    model_class, config = MODELS[name]
    model = model_class(interactions.n_items, config)
    model.fit(interactions.matrix)
    return model


def in_order(dataset: str) -> pl.DataFrame:
    """Pairs in order of time; those without one are the earlier ones in MovieLens 1M as it lies here."""
    directory = DatasetDir.at(f"bench-updates-{dataset}")
    if not directory.interactions_path.is_file():
        recsys("ingest", dataset, "--to", directory.name, "--min-rating", "4")
    return directory.interactions().sort(TIMESTAMP, nulls_last=False, maintain_order=True).select(USER, ITEM).collect()


def gowalla(n_items: int) -> Interactions:
    """Its users and its most popular items."""
    directory = DatasetDir.at("bench-updates-gowalla")
    if not directory.interactions_path.is_file():
        recsys("ingest", "gowalla", "--to", directory.name)
    pairs = directory.interactions().select(USER, ITEM).collect()
    popular = pairs.group_by(ITEM).len().sort("len", ITEM, descending=[True, False]).head(n_items)
    return interactions_of(pairs.join(popular, on=ITEM, how="semi"))


def interactions_of(pairs: pl.DataFrame) -> Interactions:
    """Pairs as a matrix."""
    return Interactions.from_frame(pairs, user=USER, item=ITEM)


def of_users(interactions: Interactions, rows: np.ndarray) -> Interactions:
    """Some of the users, and the items that they have touched."""
    rows = np.sort(rows)
    matrix = interactions.matrix[rows]
    touched = np.flatnonzero(np.bincount(matrix.indices, minlength=interactions.n_items))
    number = np.full(interactions.n_items, -1)
    number[touched] = np.arange(len(touched))
    narrow = csr_array((matrix.data, number[matrix.indices], matrix.indptr), shape=(len(rows), len(touched)))
    return Interactions(narrow, interactions.users.take(rows), interactions.items.take(touched))


@contextmanager
def low_rank() -> Iterator[None]:
    """Update by low rank whatever it costs."""
    before = linear_update.WORTH_IT
    linear_update.WORTH_IT = float("inf")
    try:
        yield
    finally:
        linear_update.WORTH_IT = before


def compared(found: LinearAutoencoder, wanted: LinearAutoencoder, interactions: Interactions) -> dict[str, float]:
    """Largest difference of B, and the share of users with the same list."""
    mine, theirs = (floats_of(model.tensors(), "weights", (None, None)) for model in (found, wanted))
    scale, largest = float(np.abs(theirs).max()), 0.0
    for start in range(0, len(mine), 1024):
        largest = max(largest, float(np.abs(mine[start : start + 1024] - theirs[start : start + 1024]).max()))
    same = 0
    for start in range(0, interactions.n_users, 1000):
        some = interactions.matrix[start : start + 1000]
        lists = [top_k(model.score(some), 20, excluded=some).rows for model in (found, wanted)]
        same += int((lists[0] == lists[1]).all(axis=1).sum())
    return {"difference": largest / scale, "same_lists": same / interactions.n_users}


def chain(dataset: str, name: str) -> dict[str, Any]:
    """Seven updates in order of time, each beside a fit."""
    pairs, steps = in_order(dataset), []
    ends = np.linspace(round(len(pairs) * (1 - LATE)), len(pairs), UPDATES + 1).astype(int)
    before = interactions_of(pairs.head(ends[0]))
    model = fitted(name, before)
    for end in ends[1:]:
        after = interactions_of(pairs.head(end))
        change = Change(before, after)
        chosen = model.plan(change)
        with low_rank():
            made, seconds = timed(lambda: model.updated(change))  # noqa: B023
        scratch, fit_seconds = timed(lambda: fitted(name, after))  # noqa: B023
        assert isinstance(made.model, LinearAutoencoder)
        step = compared(made.model, scratch, after) | {"how": made.how, "chosen": chosen["how"], **made.figures}
        steps.append(
            step | {"seconds": seconds[0], "fit_seconds": fit_seconds[0], "new_items": change.counts.new_items}
        )
        before, model = after, made.model
    return {"steps": steps, **worst(steps)}


def worst(steps: list[dict[str, Any]]) -> dict[str, float]:
    """The worst of several comparisons."""
    return {
        "difference": max(step["difference"] for step in steps), "same_lists": min(step["same_lists"] for step in steps)
    }  # fmt: skip


def timed(work: Callable[[], Any]) -> tuple[Any, NDArray[np.float64]]:
    """What work gives; its seconds, and those of the processor, which tell more where others work beside it."""
    gc.collect()
    started = np.array([time.perf_counter(), time.process_time()])
    found = work()
    return found, np.array([time.perf_counter(), time.process_time()]) - started


def erasing(name: str) -> dict[str, Any]:
    """1,000 users of MovieLens 1M taken out, beside a fit that has never seen them."""
    everything = interactions_of(in_order("movielens-1m"))
    rest = of_users(everything, np.random.default_rng(1).permutation(everything.n_users)[ERASED:])
    model, scratch = fitted(name, everything), fitted(name, rest)
    change = Change(everything, rest)
    with low_rank():
        made = model.updated(change)
    assert isinstance(made.model, LinearAutoencoder)
    return compared(made.model, scratch, rest) | {"how": made.how, "chosen": model.plan(change)["how"], **made.figures}


def speed(name: str, n_items: int = ITEMS) -> dict[str, Any]:
    """A chain on Gowalla: users come in, and 1,000 of them are taken out again, beside a fit that never saw them.

    An update is made as its cost says. A fit's time is the shorter of two.
    """
    everything = gowalla(n_items)
    order = np.random.default_rng(0).permutation(everything.n_users)
    sizes = [ERASED, round(everything.n_users * LATE / UPDATES), *SIZES]
    present = len(order) - sum(sizes)
    before = of_users(everything, order[:present])
    model, base_seconds = timed(lambda: fitted(name, before))
    steps: list[dict[str, Any]] = []
    for size in (*sizes, -ERASED):
        erased = slice(len(order) - sum(sizes), len(order) - sum(sizes) + ERASED)
        present += max(size, 0)
        rows = order[:present] if size > 0 else np.delete(order, erased)
        after = of_users(everything, rows)
        change = Change(before, after)
        made, seconds = timed(lambda: model.updated(change))  # noqa: B023
        told = {"users": size, "pairs": change.counts.new_interactions + change.counts.gone_interactions}
        steps.append(told | {"seconds": seconds[0], "cpu": seconds[1], "how": made.how, **made.figures})
        print(steps[-1], flush=True)
        before, model = after, made.model
        del made
    scratch, fit_seconds = timed(lambda: fitted(name, before))
    fit_seconds = np.minimum(fit_seconds, base_seconds)
    for step in steps:
        step["speedup"], step["cpu_speedup"] = fit_seconds[0] / step["seconds"], fit_seconds[1] / step["cpu"]
    fits = {"items": before.n_items, "fit_seconds": fit_seconds[0], "fit_cpu": fit_seconds[1]}
    return fits | {"steps": steps, **compared(model, scratch, before)}


def table(title: str, steps: list[dict[str, Any]], columns: tuple[str, ...]) -> Table:
    """Figures of several updates."""
    rows = Table(*columns, title=title)
    for step in steps:
        rows.add_row(
            *(f"{value:.3g}" if isinstance(value := step.get(name, ""), float) else str(value) for name in columns)
        )
    return rows


def main() -> None:
    """Measure what has no record yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure what has a record, too")
    parser.add_argument("--items", type=int, default=ITEMS, help="of Gowalla; the last line is about 20,000")
    arguments, console = parser.parse_args(), Console(width=120)
    fresh = arguments.fresh
    equal: dict[str, list[float]] = {}
    erased: dict[str, list[float]] = {}
    speedup: dict[str, float] = {}
    for name in MODELS:
        found = []
        for dataset in ("movielens-100k", "movielens-1m"):
            made = record(BENCHMARK, f"{dataset}-{name}", lambda: chain(dataset, name), fresh=fresh)["figures"]  # noqa: B023
            console.print(table(f"{name}, {dataset}", made["steps"], EQUAL_COLUMNS))
            found.append(made)
        equal[name] = list(worst(found).values())
        gone = record(BENCHMARK, f"erase-{name}", lambda: erasing(name), fresh=fresh)["figures"]  # noqa: B023
        console.print(table(f"{name}, {ERASED} users of MovieLens 1M erased", [gone], EQUAL_COLUMNS))
        measure = partial(speed, name, arguments.items)
        fast = record(BENCHMARK, f"gowalla-{arguments.items}-{name}", measure, fresh=fresh)["figures"]
        title = (
            f"{name}, Gowalla, {fast['items']:,} items, a fit in {fast['fit_seconds']:.0f} s; in the end: difference "
        )
        console.print(
            table(f"{title}{fast['difference']:.2g}, same {fast['same_lists']:.4%}", fast["steps"], SPEED_COLUMNS)
        )
        erased[name] = list(worst([gone, fast]).values())
        speedup[name] = fast["steps"][1]["speedup"]
    title = "update_speedup_20k" if arguments.items == ITEMS else f"update_speedup_{arguments.items}"
    summary = {"update_equals_retrain": equal, title: speedup, "erase": erased}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
