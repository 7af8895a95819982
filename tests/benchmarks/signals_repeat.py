"""Repeat purchases on simulated groceries, as served: `python -m tests.benchmarks.signals_repeat [--fresh] [--print]`.

The next basket of 1,000 households (grocery_world.py), five worlds; recall@10 of the last visit divides by
min(10, its size). A bundle of iALS learns from what was before that visit, `recsys learn-repeats` adds the head, and
the engine of the service is asked for each household on the day of the visit (grocery_service.py), which is read once.

    exclude        new items alone
    without head   `allow` of the bundle without a head: what was bought is ranked by the model's scores
    frequency      personal top frequency: what was bought most often, then what iALS says
    bhagat         reorder rate times the Gamma-Poisson rate in its modified form (Bhagat et al. 2018, eq. 5), then iALS
    only, allow    the head alone, and mixed with new items

Intervals are bootstraps paired over the households of all worlds. The last line is JSON.
"""

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.data.purchases import Purchases, Visits
from recsys_vae.evaluation.bootstrap import paired_bootstrap
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array
from recsys_vae.top_k import top_k
from tests.benchmarks.grocery_service import opened
from tests.benchmarks.grocery_world import World, simulate
from tests.benchmarks.records import existing, record

BENCHMARK = "signals"
K = 10
SEEDS = (0, 1, 2, 3, 4)
LISTS = ("exclude", "without_head", "frequency", "bhagat", "only", "allow")


def recall(rows: Int64Array, wanted: BoolArray) -> NDArray[np.float64]:
    """recall@K of each list, NaN where nothing is wanted."""
    hits = np.take_along_axis(wanted, rows.clip(0), axis=1) & (rows >= 0)
    sizes = np.minimum(wanted.sum(axis=1), K)
    return np.where(sizes > 0, hits.sum(axis=1) / np.maximum(sizes, 1), np.nan)


def over(first: csr_array, scores: Float32Array) -> Int64Array:
    """Lists of the entries of a matrix, by size, then of everything else by its scores."""
    found = (scores - scores.max() - 1).astype(np.float32)
    rows = np.repeat(np.arange(first.shape[0]), np.diff(first.indptr))
    found[rows, first.indices] = first.data
    return top_k(found, K).rows


def bhagat(visits: Visits, known: Purchases) -> csr_array:
    """Reorder rate times the posterior rate of a Gamma-Poisson process whose time is bent around the mean gap."""
    n_items, counts = visits.shape[1], known.counts
    items, n, ages, spans = counts.indices, counts.data, known.ages.data, known.spans.data
    repeated = n > 1
    buyers, back = (np.bincount(items, w, minlength=n_items) for w in (np.ones(len(n)), repeated))
    rates = (n[repeated] - 1) / np.maximum(spans[repeated], 1)
    mean, variance = rates.mean(), rates.var()
    alpha, beta = mean**2 / variance, mean / variance
    gap = (spans + beta) / np.maximum(n - 1 + alpha, 1e-6)
    time = np.where(ages < 2 * gap, spans + 2 * np.abs(gap - ages), spans + ages)
    data = (back / np.maximum(buyers, 1))[items] * (n - 1 + alpha) / (time + beta)
    return csr_array((data.astype(np.float32), counts.indices, counts.indptr), shape=counts.shape)


def measure(seed: int) -> dict[str, Any]:
    """recall@10 of every list in one world: household by household, and means over repeated and new targets apart."""
    visits = simulate(World(), seed)
    before, last = visits.without_last()
    days = visits.last_days()
    known, targets = before.purchases(days), last.matrix()
    asked = np.flatnonzero((np.diff(targets.indptr) > 0) & (np.diff(known.counts.indptr) > 0))
    wanted, had = targets[asked].toarray() > 0, known.counts[asked].toarray() > 0
    with opened(before) as shop:
        scores = shop.scores(before)
        lists = {
            "exclude": shop.lists(shop.with_head, asked, days[asked], K, "exclude"),
            "without_head": shop.lists(shop.bare, asked, days[asked], K, "allow"),
            "frequency": over(known.counts, scores)[asked],
            "bhagat": over(bhagat(before, known), scores)[asked],
            "only": shop.lists(shop.with_head, asked, days[asked], K, "only"),
            "allow": shop.lists(shop.with_head, asked, days[asked], K, "allow"),
        }
    apart = {"repeat": wanted & had, "novel": wanted & ~had}
    return {
        "per_user": {name: [round(float(v), 5) for v in recall(rows, wanted)] for name, rows in lists.items()},
        "apart": {
            name: {which: round(float(np.nanmean(recall(rows, some))), 5) for which, some in apart.items()}
            for name, rows in lists.items()
        },
        "users": len(asked),
        "purchases": len(visits.users),
        "share_bought_before": float((wanted & had).sum() / wanted.sum()),
    }


def figures() -> list[dict[str, Any]]:
    """Of all worlds that were measured."""
    runs = [existing(BENCHMARK, f"repeat-seed{seed}") for seed in SEEDS]
    return [run["figures"] for run in runs if run is not None]


def per_user(name: str) -> NDArray[np.float64]:
    """recall@10 of the households of all worlds."""
    return np.concatenate([one["per_user"][name] for one in figures()])


def difference(name: str, other: str) -> list[float]:
    """95 % interval."""
    found = paired_bootstrap(per_user(name), per_user(other))
    return [round(found.low, 4), round(found.high, 4)]


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    for seed in () if arguments.print else SEEDS:
        record(BENCHMARK, f"repeat-seed{seed}", lambda seed=seed: measure(seed), fresh=arguments.fresh)
    values = {name: per_user(name) for name in LISTS}
    found: dict[str, Any] = {name: round(float(one.mean()), 4) for name, one in values.items()}
    errors = {name: round(float(one.std(ddof=1) / np.sqrt(len(one))), 4) for name, one in values.items()}
    worlds = [one["apart"] for one in figures()]
    apart = {
        name: {which: round(float(np.mean([one[name][which] for one in worlds])), 4) for which in ("repeat", "novel")}
        for name in LISTS
    }
    against = {f"repeat_allow_minus_{name}": difference("allow", name) for name in LISTS if name != "allow"}
    print(json.dumps({"repeat_recall10": found, "standard_errors": errors, "apart": apart} | against))


if __name__ == "__main__":
    main()
