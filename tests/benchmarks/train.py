"""Speed of training, bulk recommendation and evaluation beside named references: `make bench-train`.

Every comparison is paired: in each round the project and its reference take turns on the same machine, data and number
of threads, and the figures are medians over the rounds, the first of which is not counted. What is timed of the project
is its training loop as `recsys train` runs it, batches and bookkeeping included.

- dense: Mult-VAE 600-200-600 as most PyTorch ports write it (dense_reference.py), float32, batches of 512, on Gowalla's
  40,981 items and on its 20,000 most popular ones; in a process of its own.
- recbole: RecBole's MultiVAE with its own loader and trainer, in its own environment (`make peers`).
- bound: the matrix products of a step at the rate that this machine multiplies such matrices, and nothing else.
- bound-*: likewise of other models (train_bounds.py).
- implicit: `recommend` of the 100 best for every user of Gowalla at 128 dimensions, in its own environment.

Each run is one JSON file under results/train; what is there is printed, not measured again (--fresh does).
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array

from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.nn.inner_products import inner_products
from recsys_vae.retrieval.exact import TorchIndex
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.device import choose_device, choose_precision, keep_freed_memory
from recsys_vae.training.loop import train
from recsys_vae.training.tracking import NoTracker
from tests.benchmarks.dense_reference import BATCH, most_popular
from tests.benchmarks.peers.export import export
from tests.benchmarks.peers.process import Peer
from tests.benchmarks.quickstart import gowalla
from tests.benchmarks.records import existing, record
from tests.benchmarks.train_bounds import measure_conditional_vae, measure_edlae, measure_elsa, measure_rec_vae

BENCHMARK = "train"
ROUNDS = 6
STEPS = {"ours": 12, "theirs": 3}
"""Steps of a round: ours take less time."""
ALL_METRICS = ("recall@20", "recall@20[all]", "recall@50", "ndcg@20", "ndcg@100", "precision@20", "map@20", "mrr")


class Turns(NoTracker):
    """Lets references take their turns between the epochs of a training run, and times both.

    Args:
        references: name to a function that does some work and returns users and seconds.
    """

    def __init__(self, users: int, references: Mapping[str, Callable[[], tuple[int, float]]]) -> None:
        self._users = users
        self._references = references
        self._started = 0.0
        self.rates: dict[str, list[float]] = {name: [] for name in ("ours", *references)}

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """An epoch of ours is over: note its wall time, and let the others work."""
        if epoch > 1:
            self.rates["ours"].append(self._users / (time.perf_counter() - self._started))
        for name, work in self._references.items():
            users, seconds = work()
            if epoch > 1:
                self.rates[name].append(users / seconds)
        self._started = time.perf_counter()

    def medians(self) -> dict[str, float]:
        """Users a second by name."""
        return {name: median(rates) for name, rates in self.rates.items()}


def timed(step: Callable[[], int], times: int) -> tuple[int, float]:
    """Users and seconds of some steps."""
    started = time.perf_counter()
    return sum(step() for _ in range(times)), time.perf_counter() - started


def take_turns(
    interactions: csr_array, references: Mapping[str, Callable[[], tuple[int, float]]], precision: str = "auto"
) -> Turns:
    """Train Mult-VAE, twelve steps an epoch, with the references between the epochs."""
    torch.manual_seed(0)
    some = interactions[: BATCH * STEPS["ours"]]
    turns = Turns(some.shape[0], references)
    training = TrainingConfig(epochs=ROUNDS, batch_size=BATCH, kl_weight=0.1, precision=precision)
    train(MultVAE(some.shape[1], MultVAEConfig()), some, training, tracker=turns)
    return turns


def measure_dense(n_items: int | None) -> dict[str, Any]:
    """Ours against the dense port and against the products alone, on Gowalla or its most popular items."""
    interactions = most_popular(gowalla().training_part.matrix, n_items)
    width, share = interactions.shape[1], interactions.nnz / interactions.shape[0]
    arguments = [] if n_items is None else [str(n_items)]
    with Peer("project", "dense_reference", *arguments, threads=torch.get_num_threads()) as dense:
        turns = take_turns(interactions, {"dense": steps_of(dense), "bound": lambda: products_alone(width, share)})
    rates = turns.medians()
    return {
        "users_per_second": rates,
        "rounds": turns.rates,
        "float32_users_per_second": take_turns(interactions, {}, "float32").medians()["ours"],
        "precision": str(choose_precision("auto", choose_device())),
        "speedup": rates["ours"] / rates["dense"],
        "bound_share": rates["ours"] / rates["bound"],
        "items": width,
        "batch": BATCH,
        "threads": torch.get_num_threads(),
    }


def steps_of(peer: Peer) -> Callable[[], tuple[int, float]]:
    """Some training steps of another process, which waits between its turns."""

    def steps() -> tuple[int, float]:
        answer = peer.ask(STEPS["theirs"])
        return answer["users"], answer["seconds"]

    return steps


def products_alone(n_items: int, entries: float) -> tuple[int, float]:
    """Users and seconds of a step's matrix products at the rate measured for its largest one.

    Three products over the catalogue (logits, gradients of hidden layer and weights), three for each of the two small
    layers, and two over the non-zeros, `entries` a user.
    """
    hidden, latent, width = 600, 200, 4096
    dtype = choose_precision("auto", choose_device())
    left, right = torch.randn(BATCH, hidden).to(dtype), torch.randn(width, hidden).to(dtype)
    flops, started = 0, time.perf_counter()
    while time.perf_counter() - started < 0.5:
        left @ right.T
        flops += 2 * BATCH * hidden * width
    rate = flops / (time.perf_counter() - started)
    a_user = 6 * hidden * n_items + 6 * hidden * 3 * latent + 4 * entries * hidden
    return BATCH, BATCH * a_user / rate


def measure_recbole() -> dict[str, Any]:
    """Against RecBole's MultiVAE, whose process waits between its turns."""
    with Peer("recbole", "recbole_speed", str(export("gowalla")), threads=torch.get_num_threads()) as recbole:
        turns = take_turns(gowalla().training_part.matrix, {"recbole": steps_of(recbole)})
    rates = turns.medians()
    return {"users_per_second": rates, "rounds": turns.rates, "speedup": rates["ours"] / rates["recbole"]}


def measure_top_k() -> dict[str, Any]:
    """The 100 best of 128-dimensional vectors for all users, seen items removed."""
    seen = gowalla().training_part.matrix
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((seen.shape[0], 128), dtype=np.float32)
    vectors = rng.standard_normal((seen.shape[1], 128), dtype=np.float32)
    index = TorchIndex(vectors)
    keep_freed_memory()  # as a batch job does
    rates: dict[str, list[float]] = {"ours": [], "implicit": [], "bound": []}
    with Peer("implicit", "implicit_speed", str(export("gowalla")), "--factors", "128") as implicit:
        for turn in range(ROUNDS - 1):
            started = time.perf_counter()
            index.search(queries, 100, excluded=seen)
            ours = time.perf_counter() - started
            answer = implicit.ask(1)
            bound = product_and_one_read(queries, vectors)
            if turn:
                rates["ours"].append(len(queries) / ours)
                rates["implicit"].append(answer["users"] / answer["seconds"])
                rates["bound"].append(len(queries) / bound)
    medians = {name: median(values) for name, values in rates.items()}
    return {
        "users_per_second": medians,
        "rounds": rates,
        "speedup": medians["ours"] / medians["implicit"],
        "bound_share": medians["ours"] / medians["bound"],
        "dimensions": 128,
    }


@torch.inference_mode()
def product_and_one_read(queries: np.ndarray, vectors: np.ndarray) -> float:
    """Seconds of the product for all users at its measured rate, and of reading all scores once from memory."""
    some, items = torch.from_numpy(queries[:1024]), torch.from_numpy(vectors)
    scores = inner_products(some, items)
    products = min(timed(lambda: len(inner_products(some, items)), 1)[1] for _ in range(5))
    reading = min(timed(lambda: int(scores.amax() > 0), 1)[1] for _ in range(5))
    return (products + reading) * len(queries) / len(some)


def measure_evaluation() -> dict[str, Any]:
    """All metrics for all users of Gowalla, beside an epoch of training on the same users."""
    split = gowalla()
    torch.manual_seed(0)
    model = MultVAE(split.test.histories.shape[1], MultVAEConfig())
    seconds: list[float] = []

    def evaluation() -> tuple[int, float]:
        started = time.perf_counter()
        found = evaluate(model, split.test, ALL_METRICS)
        seconds.append(time.perf_counter() - started)
        return found.n_users, seconds[-1]

    turns = take_turns(split.training_part.matrix, {"evaluation": evaluation})
    epoch = split.training_part.n_users / turns.medians()["ours"]
    return {"evaluation_seconds": median(seconds[1:]), "epoch_seconds": epoch, "ratio": median(seconds[1:]) / epoch}


def measure_scaling(n_items: int) -> dict[str, Any]:
    """One size in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, "-m", "tests.benchmarks.scaling", str(n_items)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(answer.stdout.splitlines()[-1]))


BOUNDS = {
    "rec-vae": measure_rec_vae,
    "conditional-vae": measure_conditional_vae,
    "elsa": measure_elsa,
    "edlae": measure_edlae,
}
RUNS: dict[str, Callable[[], dict[str, Any]]] = {
    "dense-20k": lambda: measure_dense(20_000),
    "dense-41k": lambda: measure_dense(None),
    "recbole": measure_recbole,
    "top-k": measure_top_k,
    "evaluation": measure_evaluation,
    **{
        f"bound-{name}": (lambda measure=measure: measure(gowalla().training_part.matrix))
        for name, measure in BOUNDS.items()
    },
    **{f"scaling-{size}": (lambda size=size: measure_scaling(size)) for size in (10_000, 100_000, 1_000_000)},
}


def summary() -> dict[str, Any]:
    """The last line; None where a record is missing."""

    def figure(run: str, name: str) -> Any:
        found = existing(BENCHMARK, run)
        return None if found is None else round(found["figures"][name], 3)

    return {
        "speedup_dense_20k": figure("dense-20k", "speedup"),
        "speedup_dense_41k": figure("dense-41k", "speedup"),
        "speedup_recbole": figure("recbole", "speedup"),
        "bound_share_41k": figure("dense-41k", "bound_share"),
        "bound_shares": {name: figure(f"bound-{name}", "bound_share") for name in BOUNDS},
        "peak_gib_1m_items": figure("scaling-1000000", "peak_gib"),
        "topk_speedup_implicit": figure("top-k", "speedup"),
        "topk_bound_share": figure("top-k", "bound_share"),
        "eval_over_epoch": figure("evaluation", "ratio"),
    }


def show() -> None:
    """Print a table of all records."""
    table = Table("run", "figure", "value", "date", "commit")
    for run in RUNS:
        found = existing(BENCHMARK, run)
        if found is None:
            table.add_row(run, "not measured")
            continue
        figures = dict(found["figures"])
        figures.pop("rounds", None)
        rates = figures.pop("users_per_second", {})
        rates = rates if isinstance(rates, dict) else {"ours": rates}
        for name, value in {**{f"users/s, {who}": rate for who, rate in rates.items()}, **figures}.items():
            shown = f"{value:,.3f}" if isinstance(value, float) else str(value)
            table.add_row(run, name, shown, found["date"], found["commit"])
    Console(width=120).print(table)


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--only", nargs="*", choices=list(RUNS), help="measure only these runs")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    for run in () if arguments.print else arguments.only or RUNS:
        record(BENCHMARK, run, RUNS[run], fresh=arguments.fresh)
    show()
    print(json.dumps(summary()))


if __name__ == "__main__":
    main()
