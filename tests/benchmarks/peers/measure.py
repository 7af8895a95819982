"""The peers on MovieLens 1M, on exactly our split, measured by our evaluator: `make bench-peers`.

Settings are chosen on the validation users (candidates.py); test lists are then written by each peer, seed by seed, and
measured here. One JSON file a run under results/models/: `ml1m-peer-NAME-search` holds everything that was tried,
`ml1m-peer-NAME-seedS` a test result. Runs in the project's environment; what has a record is not measured again.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.protocols import Float32Array
from tests.benchmarks.peers import candidates
from tests.benchmarks.peers.exchange import K
from tests.benchmarks.peers.export import SPLITS, export, workspace
from tests.benchmarks.peers.process import Peer
from tests.benchmarks.quickstart import METRICS, SEEDS, figures
from tests.benchmarks.records import existing, record

BENCHMARK = "models"
DATASET = "ml-1m"
CHOSEN = "validation_ndcg@100"
Ask = Callable[[dict[str, Any]], dict[str, Any]]


class Listed:
    """Lists that were made elsewhere, in the form that the evaluator asks: scores fall with the place in the list."""

    def __init__(self, lists: NDArray[np.integer], n_items: int) -> None:
        self.lists = lists
        self.n_items = n_items

    def score(self, histories: csr_array) -> Float32Array:
        """Scores of all the users at once, -inf for what is not in their lists, shape (n, n_items)."""
        if histories.shape[0] != self.lists.shape[0]:
            raise ValueError(f"{self.lists.shape[0]} lists for {histories.shape[0]} users: ask for all at once.")
        scores = np.full((self.lists.shape[0], self.n_items), -np.inf, dtype=np.float32)
        rows, places = np.nonzero(self.lists >= 0)
        scores[rows, self.lists[rows, places]] = -places
        return scores


def measured(lists: NDArray[np.integer], part: HeldOut) -> dict[str, Any]:
    """Figures of lists, one a user of `part` who has something to find."""
    asked = part.asked()
    model = Listed(lists, asked.targets.shape[1])
    return figures(evaluate(model, asked, METRICS, batch_size=len(asked.users)))


@contextmanager
def asking(environment: str, script: str, split: Path) -> Iterator[Ask]:
    """A peer who answers jobs; it is started for the first one that it has not answered before."""
    kept = workspace(DATASET) / "answers"
    kept.mkdir(parents=True, exist_ok=True)
    running: list[Peer] = []

    def ask(job: dict[str, Any]) -> dict[str, Any]:
        name = hashlib.sha256(json.dumps([script, job], sort_keys=True).encode()).hexdigest()[:16]
        path = kept / f"{name}.json"
        if not path.is_file():
            if not running:
                running.append(Peer(environment, script, str(split)).__enter__())
            path.write_text(json.dumps(running[0].ask(job)))
            print(f"  {job} {path.read_text()}", flush=True)
        return dict(json.loads(path.read_text()))

    try:
        yield ask
    finally:
        for peer in running:
            peer.__exit__(None, None, None)


def best_of(ask: Ask, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Every job's answer, and the job that is best on validation."""
    tried = [{"job": job} | ask(job) for job in jobs]
    return {"tried": tried, "best": max(tried, key=lambda one: one[CHOSEN])}


def recbole_jobs(model: str, settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One job a candidate, first seed."""
    return [{"model": model, "settings": chosen, "seed": SEEDS[0]} for chosen in settings]


def search_vae(ask: Ask, model: str, settings: list[dict[str, Any]], *, short: int, keep: int) -> dict[str, Any]:
    """All candidates for a few epochs, the best of them to the end: early stopping, at most 300 epochs.

    Args:
        short: epochs of the first round.
        keep: candidates of the second.
    """
    first = [best_of(ask, recbole_jobs(model, [one | {"epochs": short}]))["best"] for one in settings]
    ranked = sorted(range(len(settings)), key=lambda place: first[place][CHOSEN], reverse=True)
    found = best_of(ask, recbole_jobs(model, [settings[place] for place in ranked[:keep]]))
    return found | {"first_round": first}


def search_ials(ask: Ask) -> dict[str, Any]:
    """Three rounds: wide, near the best, and nearer still with validation asked after nearly every iteration."""

    def jobs(settings: list[dict[str, Any]], stops: tuple[int, ...] = candidates.IALS_STOPS) -> list[dict[str, Any]]:
        return [{"settings": one, "iterations": list(stops), "seed": SEEDS[0]} for one in settings]

    def best(tried: list[dict[str, Any]]) -> dict[str, Any]:
        return dict(best_of(ask, tried)["best"]["job"]["settings"])

    tried = jobs(candidates.ials())
    tried += jobs(candidates.ials_near(best(tried)))
    finer = [best(tried), *candidates.ials_near(best(tried), n=12, spread=1.4, seed=2)]
    return best_of(ask, tried + jobs(finer, candidates.IALS_FINE_STOPS))


SEARCHES: dict[str, Callable[[Ask], dict[str, Any]]] = {
    "ease": lambda ask: best_of(ask, recbole_jobs("EASE", [{"reg_weight": float(l2)} for l2 in candidates.EASE_L2])),
    "ials": search_ials,
    "multivae": lambda ask: search_vae(ask, "MultiVAE", candidates.drawn(candidates.MULTI_VAE, 10), short=15, keep=3),
    "recvae": lambda ask: search_vae(ask, "RecVAE", candidates.drawn(candidates.REC_VAE, 5), short=5, keep=2),
}
DEFAULTS = {"multivae-default": "MultiVAE", "recvae-default": "RecVAE"}
NAMES = (*SEARCHES, *DEFAULTS)
ONE_SEED = ("ease", *DEFAULTS)
"""EASE has no seed; RecBole's defaults, five times as slow as the chosen settings, show only what choosing brings."""


def final_job(name: str, seed: int) -> dict[str, Any]:
    """The job of a reported run: default settings, or the best of the search."""
    if name in DEFAULTS:
        return {"model": DEFAULTS[name], "settings": {}, "seed": seed}
    found = existing(BENCHMARK, f"ml1m-peer-{name}-search")
    assert found is not None
    best = found["figures"]["best"]
    stops = {"iterations": [best["best_iterations"]]} if name == "ials" else {}
    return best["job"] | stops | {"seed": seed}


def report(ask: Ask, job: dict[str, Any]) -> dict[str, Any]:
    """Test figures of one run, its settings, seconds and versions."""
    lists = workspace(DATASET) / f"lists-{hashlib.sha256(json.dumps(job).encode()).hexdigest()[:16]}.npy"
    answer = ask(job | {"lists": str(lists)})
    found = np.load(lists)
    assert found.shape[1] == K
    return measured(found, SPLITS[DATASET]().test) | {"job": job} | answer


def measure(name: str, seeds: tuple[int, ...], *, fresh: bool = False) -> None:
    """Search where settings are chosen, then the reported runs."""
    environment, script = ("implicit", "implicit_models") if name == "ials" else ("recbole", "recbole_models")
    with asking(environment, script, export(DATASET)) as ask:
        if name in SEARCHES:
            record(BENCHMARK, f"ml1m-peer-{name}-search", lambda: SEARCHES[name](ask), fresh=fresh)
        for seed in seeds[:1] if name in ONE_SEED else seeds:
            record(BENCHMARK, f"ml1m-peer-{name}-seed{seed}", lambda: report(ask, final_job(name, seed)), fresh=fresh)  # noqa: B023


def show() -> None:
    """One line a peer: seed means on the test users."""
    for name in NAMES:
        runs = [found["figures"] for seed in SEEDS if (found := existing(BENCHMARK, f"ml1m-peer-{name}-seed{seed}"))]
        values = {metric: np.mean([run[metric][0] for run in runs]) for metric in METRICS if runs}
        print(f"{name:17} {len(runs)} seeds ", " ".join(f"{metric} {value:.4f}" for metric, value in values.items()))


def main() -> None:
    """Measure what is missing, print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=NAMES, help="measure only these peers")
    parser.add_argument("--seeds", nargs="*", type=int, default=SEEDS, help="seeds of the reported runs")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    parser.add_argument("--fresh", action="store_true", help="write records anew; answers that peers gave are kept")
    arguments = parser.parse_args()
    for name in () if arguments.print else arguments.only or NAMES:
        measure(name, tuple(arguments.seeds), fresh=arguments.fresh)
    show()


if __name__ == "__main__":
    main()
