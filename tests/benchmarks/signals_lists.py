"""Similar items: what users see beside an item, foretold by counts of co-views and by cosines of a decoder's vectors.

    python -m tests.benchmarks.signals_lists [--fresh] [--only movielens-1m]

Models and counts learn from the training users of the split `strong`. Held-out co-views: of up to 1,000 other users
five items each are drawn, and what that user saw beside each is to be found among the 20 items most similar to it: the
ten events before and the ten after it where the order is known (MovieLens 1M), all others where it is not (Gowalla).
How co-views are counted is chosen on the validation users, by ndcg@20; the test users are asked once, about that and
the decoders. Intervals: 95 %, paired bootstrap over users.

Needs RECSYS_DATA_DIR and RECSYS_HOME; datasets are ingested, and models trained, where they are not there.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.split_recipes import Recipe
from pipelines.dataset.splits import load_split, make_split
from pipelines.training import shelves
from pipelines.training.train import Output, train_bundle
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.neighbours import n_kept
from recsys_vae.data.co_occurrence import co_views, incidence, runs
from recsys_vae.data.columns import ITEM, POSITION, TIMESTAMP, USER
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.data.signals import UNTIMED
from recsys_vae.evaluation.bootstrap import paired_bootstrap
from recsys_vae.evaluation.splits import HeldOut, Split
from recsys_vae.home import home
from recsys_vae.protocols import Float32Array, Int64Array
from recsys_vae.recommender import FallbackChain
from recsys_vae.retrieval.similarity import ItemSimilarity
from tests.benchmarks.models import specified
from tests.benchmarks.records import record

BENCHMARK = "signals"
K, QUERIES, BESIDE, USERS = 20, 5, 10, 1_000
"""Items of a list, and of each user that are asked about; events before and after it; users, at most."""
CONFIGS = {"movielens-1m": "ml-1m", "gowalla": "gowalla"}
MODELS = {"movielens-1m": ("mult-vae", "ease"), "gowalla": ("mult-vae", "graph-filter")}
TODAY = "mult-vae"
"""The model whose decoder the comparison is about: the default of `recsys train`."""
DAMPINGS = (0.0, 0.1, 0.2, 0.3, 0.5)
RUNS = (0, 10, 20, 40)
"""Events of a run; 0 for whole histories."""

Scores = Callable[[int], Float32Array]
"""How alike all items are to one, by its row."""


@dataclass(frozen=True, eq=False)
class Questions:
    """Items that are asked about, those seen beside each, and whose they are; shapes (n,), (n, n_items), (n,)."""

    items: Int64Array
    beside: csr_array
    users: Int64Array


def questions(dataset: DatasetDir, part: HeldOut, items: IdMap, seed: int) -> Questions:
    """Draw them."""
    rng, found = np.random.default_rng(seed), list[tuple[int, Int64Array, int]]()
    histories = _histories(dataset, part, items)
    for user in np.sort(rng.permutation(len(histories))[:USERS]).tolist():
        seen, is_ordered = histories[user]
        for place in rng.permutation(len(seen))[:QUERIES] if len(seen) > 1 else ():
            near = slice(max(0, place - BESIDE), place + BESIDE + 1) if is_ordered else slice(None)
            found.append((int(seen[place]), np.setdiff1d(seen[near], seen[place]), user))
    lengths = [len(beside) for _, beside, _ in found]
    columns = np.concatenate([beside for _, beside, _ in found])
    shape = (len(found), len(items))
    beside = csr_array((np.ones(len(columns), np.float32), columns, np.cumsum([0, *lengths])), shape=shape)
    return Questions(np.array([one[0] for one in found]), beside, np.array([one[2] for one in found]))


def _histories(dataset: DatasetDir, part: HeldOut, items: IdMap) -> list[tuple[Int64Array, bool]]:
    """Items of each user, in order where it is known."""
    table = dataset.interactions().select(USER, ITEM, pl.col(POSITION).cast(pl.Float64)).collect()
    whole = csr_array(part.histories + part.targets)
    users, columns = part.users.rows(table[USER]), items.rows(table[ITEM])
    places = table[POSITION].fill_null(float("nan")).to_numpy()
    known = (users >= 0) & (columns >= 0) & np.isfinite(places)
    if known.sum() < 0.9 * whole.nnz:
        return [(whole.indices[start:end].astype(np.int64), False) for start, end in pairwise(whole.indptr)]
    users, columns, places = users[known], columns[known], places[known]
    order = np.lexsort((places, users))
    bounds = np.searchsorted(users[order], np.arange(len(part.users) + 1))
    return [(columns[order][start:end], True) for start, end in pairwise(bounds)]


def measure(asked: Questions, scores: Scores, popularity: NDArray[np.float64]) -> dict[str, Any]:
    """ndcg@20 of each user, and what the lists are like."""
    discounts = 1 / np.log2(np.arange(2, K + 2))
    gains, shown = np.zeros(len(asked.items)), np.zeros((len(asked.items), K), dtype=np.int64)
    for place, item in enumerate(asked.items.tolist()):
        found = scores(item).copy()
        found[item] = -np.inf
        top = np.argpartition(-found, K)[:K]
        shown[place] = top[np.argsort(-found[top], kind="stable")]
        start, end = asked.beside.indptr[place : place + 2]
        hits = np.isin(shown[place], asked.beside.indices[start:end])
        gains[place] = hits @ discounts / discounts[: min(K, end - start)].sum()
    counts = np.bincount(asked.users)
    per_user = np.bincount(asked.users, weights=gains)[counts > 0] / counts[counts > 0]
    return {
        "ndcg@20": float(per_user.mean()),
        "per_user": per_user.tolist(),
        "mean_popularity": float(popularity[shown].mean()),
        "coverage": float(len(np.unique(shown)) / len(popularity)),
    }


def counted(dataset: DatasetDir, train: Interactions, run: int, damping: float) -> csr_array | None:
    """Co-views; None where runs are asked for and there is no order."""
    most = n_kept(train.n_items)
    if not run:
        return co_views(train.matrix, damping=damping, longest=shelves.LONGEST_HISTORY, most=most)
    events = shelves.events_of(dataset, train)
    if events.filter((pl.col(TIMESTAMP) == UNTIMED) & (pl.col(POSITION) < 0)).height > 0.01 * events.height:
        return None
    in_runs = incidence(*runs(events[USER].to_numpy(), events[ITEM].to_numpy(), run), train.n_items)
    return co_views(in_runs, damping=damping, longest=run, most=most)


def by_counts(neighbours: csr_array) -> Scores:
    """As served, but for what fills a list up."""

    def scores(item: int) -> Float32Array:
        found = np.zeros(neighbours.shape[0], dtype=np.float32)
        start, end = neighbours.indptr[item : item + 2]
        found[neighbours.indices[start:end]] = neighbours.data[start:end]
        return found

    return scores


def opened(name: str) -> tuple[DatasetDir, Split]:
    """A dataset and its split, made where they are not there."""
    if not (home() / "datasets" / name / "interactions.parquet").is_file():
        raise SystemExit(f"Ingest it first: recsys ingest {name} --to {name}")
    dataset = DatasetDir.open(name)
    if "strong" not in dataset.splits():
        make_split(dataset, Recipe(protocol="strong"))
    return dataset, load_split(dataset, "strong")


def by_model(dataset: DatasetDir, name: str) -> Scores:
    """As `/similar` answered before: cosines of item vectors, or scores of the item alone."""
    path = home() / "benchmarks" / f"lists-{dataset.name}-{name}"
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        train_bundle(dataset, "strong", specified(CONFIGS[dataset.name], name), Output(path), resume=True)
    chain = FallbackChain(Bundle.load(path))
    # A copy: the index that lends the vectors goes with the chain.
    vectors = chain.item_vectors.copy() if hasattr(chain.bundle.model, "item_vectors") else None
    return ItemSimilarity(chain.bundle.model, vectors).scores


def choose(name: str) -> dict[str, Any]:
    """How co-views are counted, on the validation users."""
    dataset, split = opened(name)
    asked = questions(dataset, split.validation, split.train.items, seed=1)
    popularity = split.train.item_counts().astype(np.float64)
    tried = []
    for run in RUNS:
        for damping in DAMPINGS:
            neighbours = counted(dataset, split.train, run, damping)
            if neighbours is not None:
                found = measure(asked, by_counts(neighbours), popularity)
                del found["per_user"]
                tried.append({"run": run, "damping": damping} | found)
                print(tried[-1], flush=True)
    return {"questions": len(asked.items), "tried": tried, "chosen": best(tried)}


def best(tried: list[dict[str, Any]]) -> dict[str, Any]:
    """The largest ndcg@20; of equals to three digits the shortest run, then the least damping."""
    return max(tried, key=lambda one: round(one["ndcg@20"], 3))


def test(name: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """The chosen counts and every decoder on the test users, once."""
    dataset, split = opened(name)
    asked = questions(dataset, split.test, split.train.items, seed=2)
    popularity = split.train.item_counts().astype(np.float64)
    neighbours = counted(dataset, split.train, chosen["run"], chosen["damping"])
    assert neighbours is not None
    found = {"behaviour": measure(asked, by_counts(neighbours), popularity)}
    for model in MODELS[name]:
        found[model] = measure(asked, by_model(dataset, model), popularity)
        print(model, found[model]["ndcg@20"], flush=True)
    per_user = {key: np.array(value.pop("per_user")) for key, value in found.items()}
    gains = {
        model: paired_bootstrap(per_user["behaviour"], per_user[model]) for model in MODELS[name] if model in per_user
    }
    return {
        "users": len(per_user["behaviour"]),
        "questions": len(asked.items),
        "figures": found,
        "gain": {model: [one.difference, one.low, one.high] for model, one in gains.items()},
    }


def main() -> None:
    """Choose and test, or read what was measured; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--only", choices=list(CONFIGS), help="one dataset")
    arguments = parser.parse_args()
    gains: dict[str, Any] = {}
    for name in [arguments.only] if arguments.only else list(CONFIGS):
        chosen = record(BENCHMARK, f"lists-{name}-choice", partial(choose, name), fresh=arguments.fresh)["figures"]
        measured = record(
            BENCHMARK, f"lists-{name}-test", partial(test, name, chosen["chosen"]), fresh=arguments.fresh
        )["figures"]
        print(name, json.dumps({key: round(one["ndcg@20"], 4) for key, one in measured["figures"].items()}))
        gains[name] = [round(value, 4) for value in measured["gain"][TODAY][1:]]
    print(json.dumps({"similar_gain": gains}))


if __name__ == "__main__":
    main()
