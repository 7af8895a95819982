"""Repeat purchases on simulated groceries: `python -m tests.benchmarks.signals_repeat [--fresh] [--print]`.

The next basket of 1,000 households (grocery_world.py), four worlds; recall@10 of the last visit divides by
min(10, its size). Models see what was before the visit before; the temperature of the mixture is chosen on that visit,
with models that have not seen it, and the last visit is read once.

    exclude        new items alone, by iALS
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
from recsys_vae.models.ials import IALS, IALSConfig
from recsys_vae.models.repeat import RepeatHead
from recsys_vae.protocols import Float32Array
from recsys_vae.top_k import top_k
from tests.benchmarks.grocery_world import World, simulate
from tests.benchmarks.records import existing, record

BENCHMARK = "signals"
K = 10
SEEDS = (0, 1, 2, 3)
MODEL = IALSConfig(factors=32, unobserved=0.3, l2=0.01)
LISTS = ("exclude", "frequency", "bhagat", "only", "allow")


def recall(scores: Float32Array, targets: csr_array) -> NDArray[np.float64]:
    """recall@K of each row."""
    rows, wanted = top_k(scores.copy(), K).rows, targets.toarray() > 0
    hits = np.take_along_axis(wanted, rows.clip(0), axis=1) & (rows >= 0)
    return np.asarray(hits.sum(axis=1) / np.minimum(wanted.sum(axis=1), K))


def new_items(before: Visits) -> Float32Array:
    """Scores of a model of what was before."""
    counts = before.matrix()
    model = IALS(counts.shape[1], MODEL)
    model.fit(counts)
    return model.score(counts)


def over(first: csr_array, scores: Float32Array) -> Float32Array:
    """The entries of a matrix, by size, then everything else by its scores."""
    found = (scores - scores.max() - 1).astype(np.float32)
    rows = np.repeat(np.arange(first.shape[0]), np.diff(first.indptr))
    found[rows, first.indices] = first.data
    return found


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
    """recall@10 of every list in one world, household by household."""
    visits = simulate(World(), seed)
    before, last = visits.without_last()
    earlier, second = before.without_last()
    head = RepeatHead(visits.shape[1])
    head.fit(before)
    head.calibrate(new_items(earlier), earlier.purchases(before.last_days()), second.matrix())
    known, targets, scores = before.purchases(visits.last_days()), last.matrix(), new_items(before)
    lists = {
        "exclude": head.blended(scores, known, "exclude"),
        "frequency": over(known.counts, scores),
        "bhagat": over(bhagat(before, known), scores),
        "only": head.blended(scores, known, "only"),
        "allow": head.blended(scores, known, "allow"),
    }
    asked = np.flatnonzero((np.diff(targets.indptr) > 0) & (np.diff(known.counts.indptr) > 0))
    again = known.counts[asked].multiply(targets[asked] > 0).count_nonzero() / targets[asked].nnz
    found = {name: [round(float(v), 5) for v in recall(one[asked], targets[asked])] for name, one in lists.items()}
    return {"per_user": found, "users": len(asked), "purchases": len(visits.users), "share_bought_before": again}


def per_user(name: str) -> NDArray[np.float64]:
    """Of all worlds that were measured."""
    runs = [existing(BENCHMARK, f"repeat-seed{seed}") for seed in SEEDS]
    return np.concatenate([run["figures"]["per_user"][name] for run in runs if run is not None])


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
    found: dict[str, Any] = {name: round(float(per_user(name).mean()), 4) for name in LISTS}
    against = {f"repeat_allow_minus_{name}": difference("allow", name) for name in LISTS if name != "allow"}
    print(json.dumps({"repeat_recall10": found} | against))


if __name__ == "__main__":
    main()
