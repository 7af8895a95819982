"""Settings of Gowalla's graph filter and blend, chosen without test: `python -m tests.benchmarks.gowalla_choice`.

By the paper (NGCF) the published files were cut by one recipe: of all check-ins the 10-core, then a fifth of every
user's items, drawn at random, for test. An item with few training users was then seldom drawn for training, so it is
all the more among the test items; users drawn from the training file alone do not show it. So the recipe is applied to
the training file once more: its 10-core, a fifth of every user's items, rounded up, for validation. 3,000 of these
users are asked. The test part still ranks the filters otherwise, see docs/benchmarks.md.

Filters are tried as the equations have them, `neighbours` apart: the histories are sharpened themselves, which gives
many times and weights at the price of one. The best by the sum of both metrics is fitted as it would be published, with
1,000 and 2,000 neighbours an item, and blended with Mult-VAE; so is the filter as BSPM published it for this split, for
which nothing but the blend's weight is left to choose. What was tried is recorded in the order of trial, in
results/models/gowalla-choice.json and, for the blends, gowalla-choice-weight*.json; --fresh tries again (half an hour
on one core).
"""

import argparse
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array
from torch import Tensor

from recsys_vae.data.histories import binarise
from recsys_vae.data.interactions import Interactions
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import HeldOut, drop_unlearnable, over_catalogue, take_users
from recsys_vae.models.blend import Blend
from recsys_vae.models.graph_filter import GraphFilter, GraphFilterConfig
from recsys_vae.models.sharpening import rk4_weights
from recsys_vae.models.spectrum import Gram, leading_spectrum
from recsys_vae.protocols import Float32Array, Recommender
from tests.benchmarks.models import BENCHMARK, resumable, specified
from tests.benchmarks.quickstart import GOWALLA_METRICS, gowalla
from tests.benchmarks.records import record

CORE = 10
SHARE = 0.2
USERS = 3000
BLOCK = 64
"""Users whose histories are sharpened at once."""
NEIGHBOURS = (1000, 2000)
WEIGHTS = tuple(round(0.05 * step, 2) for step in range(20))
EARLIER = GraphFilterConfig(
    user_exponent=0.25, item_exponent=0.5, popularity_exponent=0.3, rank=128, low_pass=0.0, sharpening=1.0
)
"""What had been chosen on 3,000 users who give a tenth of their training items."""


@dataclass(frozen=True)
class Grid:
    """Filters to try: all combinations. `exponents` are pairs, of users and items; each has a graph of its own."""

    exponents: tuple[tuple[float, float], ...]
    popularity: tuple[float, ...]
    ranks: tuple[int, ...]
    times: tuple[float, ...]
    low_pass: tuple[float, ...]


COARSE = Grid(tuple(product((0.5, 0.35, 0.2), (0.5, 0.4))), (0.0, 0.15), (448,), (1.5, 2.5), (0.0, 0.2))
FINE = Grid(
    ((0.35, 0.4), (0.35, 0.45), (0.3, 0.4), (0.3, 0.45), (0.35, 0.35), (0.4, 0.4)),
    (0.0,),
    (256, 448),
    (1.0, 1.5, 2.0),
    (0.1, 0.2, 0.3),
)


def k_core(interactions: Interactions, least: int) -> Interactions:
    """Take users with fewer than `least` items and items with fewer users, until none is left."""
    while True:
        kept = over_catalogue(interactions, np.flatnonzero(interactions.item_counts() >= least))
        kept = take_users(kept, np.flatnonzero(entries.row_lengths(kept.matrix) >= least))
        if kept.matrix.shape == interactions.matrix.shape:
            return kept
        interactions = kept


def recut(
    training: Interactions, least: int = CORE, share: float = SHARE, seed: int = 0
) -> tuple[Interactions, HeldOut]:
    """A training and a validation part of the k-core; a user gives `share` of their items, rounded up."""
    core = k_core(training, least)
    wanted = np.ceil(entries.row_lengths(core.matrix) * share - 1e-9).astype(np.int64)
    chosen = entries.draw(core.matrix, wanted, np.random.default_rng(seed))
    train = Interactions(entries.pick(core.matrix, ~chosen), core.users, core.items)
    held_out = HeldOut(core.users, train.matrix, entries.pick(core.matrix, chosen))
    return train, drop_unlearnable(held_out, train.item_counts())[0].asked()


def some(part: HeldOut, n: int, seed: int = 0) -> HeldOut:
    """So many of the users, drawn at random."""
    return part.take(np.sort(np.random.default_rng(seed).permutation(len(part.users))[:n]))


class Known:
    """A model whose scores are there already."""

    def __init__(self, scores: Float32Array) -> None:
        self.scores = scores
        self.n_items = scores.shape[1]

    def score(self, histories: csr_array) -> Float32Array:
        """Those of the only batch."""
        return self.scores


def values(model: Recommender, part: HeldOut, batch_size: int | None = None) -> NDArray[np.float64]:
    """Both metrics of each user, shape (2, n_users)."""
    found = evaluate(model, part, GOWALLA_METRICS, batch_size=batch_size).per_user
    return np.stack([found[metric] for metric in GOWALLA_METRICS])


class Graph:
    """P of `graph_filter`, and histories multiplied by its powers."""

    def __init__(self, matrix: csr_array, user_exponent: float, item_exponent: float, rank: int) -> None:
        binary = binarise(matrix)
        self._degrees = np.maximum(np.bincount(binary.indices, minlength=matrix.shape[1]), 1).astype(np.float64)
        lengths = np.diff(binary.indptr)
        data = np.repeat(lengths.clip(1) ** -user_exponent, lengths) * self._degrees[binary.indices] ** -item_exponent
        normalised = csr_array((data.astype(np.float32), binary.indices, binary.indptr), shape=binary.shape)
        eigenvalues, vectors = leading_spectrum(normalised, rank)
        self._gram = Gram(normalised * np.float32(eigenvalues[0] ** -0.5))
        self._vectors = torch.from_numpy(vectors)
        self._norm = self._factors(item_exponent)

    def linear(self, histories: Tensor, popularity_exponent: float) -> list[Tensor]:
        """x D^-q P^(k+1) D^q for k = 0 .. 4, each of shape (n, n_items)."""
        lean = self._factors(popularity_exponent)
        return [power.T * lean.T for power in self._powers(self._gram @ (histories / lean))]

    def low_pass(self, histories: Tensor, rank: int) -> list[Tensor]:
        """x D^-b V V^T D^b P^k for k = 0 .. 4, each of shape (n, n_items)."""
        leading = self._vectors[:, :rank]
        return [power.T for power in self._powers(leading @ (leading.T @ (histories / self._norm)) * self._norm)]

    def _factors(self, exponent: float) -> Tensor:
        return torch.from_numpy((self._degrees**exponent).astype(np.float32))[:, None]

    def _powers(self, columns: Tensor) -> list[Tensor]:
        found = [columns]
        for _ in range(4):
            found.append(self._gram @ found[-1])
        return found


def merged(powers: list[Tensor], time: float) -> Tensor:
    """What is left of them after a sharpening, shape (n, n_items)."""
    weighted = zip(rk4_weights(time), powers, strict=True)
    return torch.stack([weight * power for weight, power in weighted]).sum(dim=0)


def try_filters(train: Interactions, part: HeldOut, grid: Grid) -> list[dict[str, Any]]:
    """Every filter of a grid, measured on the users of a part."""
    return [tried for pair in grid.exponents for tried in try_graph(train, part, grid, *pair)]


def try_graph(train: Interactions, part: HeldOut, grid: Grid, user: float, item: float) -> list[dict[str, Any]]:
    """Those over one graph."""
    graph = Graph(train.matrix, user, item, max(grid.ranks))
    found: dict[GraphFilterConfig, list[NDArray[np.float64]]] = {}
    for start in range(0, len(part.users), BLOCK):
        block = part.take(np.arange(start, min(start + BLOCK, len(part.users))))
        histories = torch.from_numpy(np.ascontiguousarray(binarise(block.histories).toarray().T))
        linear = {q: graph.linear(histories, q) for q in grid.popularity}
        low = {rank: graph.low_pass(histories, rank) for rank in grid.ranks}
        for time in grid.times:
            sharp = {q: merged(powers, time) for q, powers in linear.items()}
            smooth = {rank: merged(powers, time) for rank, powers in low.items()}
            for q, rank, alpha in product(grid.popularity, grid.ranks, grid.low_pass):
                scores = (sharp[q] + alpha * smooth[rank]).numpy()
                config = GraphFilterConfig(user, item, q, rank, alpha, time, "rk4")
                found.setdefault(config, []).append(values(Known(scores), block, batch_size=BLOCK))
    print(f"exponents {user} and {item} tried", flush=True)
    return [described(config, np.hstack(parts)) for config, parts in found.items()]


def described(config: GraphFilterConfig, per_user: NDArray[np.float64]) -> dict[str, Any]:
    """One line of the record."""
    return {"settings": asdict(config)} | figures(per_user)


def figures(per_user: NDArray[np.float64]) -> dict[str, float]:
    """Means over the users."""
    return {metric: round(float(mean), 5) for metric, mean in zip(GOWALLA_METRICS, per_user.mean(axis=1), strict=True)}


def total(tried: dict[str, Any]) -> float:
    """What is chosen by."""
    return sum(tried[metric] for metric in GOWALLA_METRICS)


def fitted(train: Interactions, config: GraphFilterConfig) -> GraphFilter:
    """A filter as it would be published."""
    model = GraphFilter(train.n_items, config)
    model.fit(train.matrix)
    return model


def choose_filter() -> dict[str, Any]:
    """Try filters, then the best of them with more neighbours."""
    train, held_out = recut(gowalla().training_part)
    part = some(held_out, USERS)
    before = [specified("gowalla", "gf-cf").config, EARLIER]
    filters = [described(config, values(fitted(train, config), part)) for config in before]
    filters += try_filters(train, part, COARSE) + try_filters(train, part, FINE)
    best = GraphFilterConfig(**max(filters, key=total)["settings"])
    wider = [replace(best, neighbours=kept) for kept in NEIGHBOURS]
    return {
        "chosen": {"filter": asdict(best)},
        "train": {"users": train.n_users, "items": train.n_items, "interactions": int(train.matrix.nnz)},
        "asked": len(part.users),
        "filters": filters,
        "neighbours": [described(config, values(fitted(train, config), part)) for config in wider],
    }


def choose_weight(config: GraphFilterConfig) -> dict[str, Any]:
    """Blend a filter with Mult-VAE as in mult-vae.toml; weight 0 is Mult-VAE alone."""
    train, held_out = recut(gowalla().training_part)
    part, blend = some(held_out, USERS), Blend(train.n_items, specified("gowalla", "blend").config)
    vae = resumable(specified("gowalla", "mult-vae", seed=0), train.matrix, None, "gowalla-recut").model
    blend.autoencoder, blend.linear = vae, fitted(train, config)  # type: ignore[assignment]
    tried = []
    for weight in WEIGHTS:
        blend.weigh(weight)
        tried.append({"weight": weight} | figures(values(blend, part)))
    return {"weight": max(tried, key=total)["weight"], "blends": tried}


def show_blends(name: str, blends: list[dict[str, Any]]) -> None:
    """Print the weights of a blend."""
    table = Table(name, *GOWALLA_METRICS)
    for tried in blends:
        table.add_row(str(tried["weight"]), *(f"{tried[metric]:.4f}" for metric in GOWALLA_METRICS))
    Console(width=140).print(table)


def show(found: dict[str, Any], rows: int) -> None:
    """Print the best filters and the neighbours."""
    table = Table("tried", *GOWALLA_METRICS)
    best = sorted(found["filters"], key=total, reverse=True)[:rows]
    for tried in (*found["filters"][:2], *best, *found["neighbours"]):
        changed = {key: value for key, value in tried["settings"].items() if value != asdict(GraphFilterConfig())[key]}
        name = " ".join(f"{key}={value}" for key, value in changed.items())
        table.add_row(name, *(f"{tried[metric]:.4f}" for metric in GOWALLA_METRICS))
    Console(width=140).print(table)


def main() -> None:
    """Choose, or read what was chosen, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="try again what has a record")
    parser.add_argument("--rows", type=int, default=20, help="filters to print, the best first")
    arguments = parser.parse_args()
    found = record(BENCHMARK, "gowalla-choice", choose_filter, fresh=arguments.fresh)["figures"]
    chosen = GraphFilterConfig(**found["chosen"]["filter"])
    published = specified("gowalla", "bspm").config
    for name, config in (("weight", chosen), ("weight-bspm", published)):
        weighed = record(BENCHMARK, f"gowalla-choice-{name}", lambda: choose_weight(config), fresh=arguments.fresh)  # noqa: B023
        show_blends(name, weighed["figures"]["blends"])
    show(found, arguments.rows)


if __name__ == "__main__":
    main()
