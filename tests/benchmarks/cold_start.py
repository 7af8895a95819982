"""Cold start on MovieLens 1M: what each tier gives at each length of history: `make bench-cold-start`.

Ratings of 4 and above, the strong split of the other benchmarks; demographics are gender, age group and occupation.
Asked are held-out users with 25 positives or more. Input are their first 0, 1, 2, 3, 5, 10 or 20 items in order,
targets are all items after the 20th, whatever the input. Only the input is kept out of the lists. The shrinkage of
segment popularity, the epoch and the thresholds of the fallback chain are chosen on such users of the validation part;
Mult-VAE is the tuned configuration of `make bench-models`, its epoch chosen as there. The test part is asked once a
run.

Five seeds; figures are means over users of seed averages with their standard error over users, and intervals are
bootstraps paired over users on seed averages. Each run is one JSON file under results/cold-start, and what is there is
printed, not measured again (--fresh does).
"""

import argparse
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pipelines.evaluation.as_served import OnTier
from pipelines.training.fallback_policy import choose_tiers
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.evaluation.bootstrap import Interval, paired_bootstrap
from recsys_vae.evaluation.cold_start import LENGTHS
from recsys_vae.protocols import Scorer
from recsys_vae.recommender import HISTORY, POPULAR, POSTERIOR, PRIOR, SEGMENT, FallbackChain
from tests.benchmarks.cold_start_decay import measure_decay
from tests.benchmarks.cold_start_hybrid import measure_model
from tests.benchmarks.cold_start_items import NEW_ITEM_FIGURES, measure_new_items
from tests.benchmarks.cold_start_peer import PEER_LENGTHS, measure_peer
from tests.benchmarks.cold_start_plots import plot_gaps, plot_lengths
from tests.benchmarks.cold_start_served import measure_served
from tests.benchmarks.cold_start_world import METRICS, asked, cold_start_users, fitted, known, split
from tests.benchmarks.quickstart import SEEDS
from tests.benchmarks.records import existing, record

BENCHMARK = "cold-start"
TIERS = (POSTERIOR, HISTORY, PRIOR, SEGMENT, POPULAR)
LADDER, MULT_VAE, REC_VAE, LIGHTFM = "ladder", "mult-vae", "rec-vae", "lightfm"
RUNS = {MULT_VAE: MULT_VAE, REC_VAE: REC_VAE, LIGHTFM: LIGHTFM} | {
    f"{name} hybrid": f"hybrid-{name}" for name in (MULT_VAE, REC_VAE)
}
"""Names of the runs of those systems that are not tiers of the fallback chain."""


def measure_chain(seed: int) -> dict[str, Any]:
    """Every tier alone, and the fallback chain, at every length."""
    train, validation = split().train, cold_start_users("validation")
    found = fitted(seed, train.matrix, validation)
    chosen = choose_tiers(found.model, train, known(), validation, "ndcg@100")
    chain = FallbackChain(Bundle.unwritten(found.model, train.items, train.item_counts(), chosen.tiers))
    systems: dict[str, Scorer] = {tier: OnTier(chain, tier) for tier in TIERS} | {LADDER: chain}
    segments = chosen.tiers.segments
    assert segments is not None
    return {
        "epochs": found.epochs,
        "training_seconds": found.seconds,
        "rungs": chosen.tiers.policy.as_settings(),
        "shrinkage": segments.shrinkage,
        "validation_ndcg@100": {str(length): values for length, values in chosen.values.items()},
        "h": {str(length): asked(systems, cold_start_users("test").asked(length)) for length in LENGTHS},
    }


def runs() -> dict[str, Callable[[], dict[str, Any]]]:
    """Every run by name, seed by seed."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}
    for seed in SEEDS:
        found[f"ladder-seed{seed}"] = lambda seed=seed: measure_chain(seed)
        for name in (MULT_VAE, REC_VAE):
            found[f"{name}-seed{seed}"] = lambda name=name, seed=seed: measure_model(name, seed)
            found[f"hybrid-{name}-seed{seed}"] = lambda name=name, seed=seed: measure_model(name, seed, hybrid=True)
        found[f"new-items-seed{seed}"] = lambda seed=seed: measure_new_items(seed)
        found[f"new-items-sentences-seed{seed}"] = lambda seed=seed: measure_new_items(seed, sentences=True)
        found[f"lightfm-seed{seed}"] = lambda seed=seed: measure_peer(seed)
    found["decay"] = measure_decay
    found["served"] = measure_served
    return found


def measured(system: str) -> dict[int, dict[str, Any]]:
    """Runs of a system that were measured, by seed."""
    found = {seed: existing(BENCHMARK, f"{RUNS.get(system, LADDER)}-seed{seed}") for seed in SEEDS}
    return {seed: run for seed, run in found.items() if run is not None}


def per_user(system: str, length: int, metric: str, seeds: Collection[int] = SEEDS) -> NDArray[np.float64]:
    """Values of one system at one length, averaged over those of the seeds that were measured; shape (n_users,)."""
    runs_by_seed = measured(system)
    lines = [runs_by_seed[s]["figures"]["h"][str(length)][system][metric] for s in seeds if s in runs_by_seed]
    averaged: NDArray[np.float64] = np.mean([np.array(line.split(), dtype=np.float64) for line in lines], axis=0)
    return averaged


def figure(system: str, length: int, metric: str) -> list[float]:
    """Mean and standard error over users."""
    return mean_and_error(per_user(system, length, metric))


def mean_and_error(values: NDArray[np.float64]) -> list[float]:
    """Of values of users."""
    return [round(float(values.mean()), 4), round(float(values.std(ddof=1) / np.sqrt(values.size)), 4)]


def against(system: str, other: str, length: int, metric: str) -> Interval:
    """One system minus another, paired over users, on the seeds that were measured for both."""
    seeds = measured(system).keys() & measured(other).keys()
    return paired_bootstrap(per_user(system, length, metric, seeds), per_user(other, length, metric, seeds))


def summary() -> dict[str, Any]:
    """The last line."""
    systems = (LADDER, *TIERS, MULT_VAE)
    gap = against(PRIOR, POPULAR, 0, "recall@20")
    return {
        "h": {str(length): {name: figure(name, length, "recall@20") for name in systems} for length in LENGTHS},
        "prior_minus_popularity_h0": interval(gap),
        "ladder_minus_best_tier_min": round(
            min(against(LADDER, tier, length, "recall@20").low for length in LENGTHS for tier in single_tiers(length)),
            4,
        ),
        "hybrid_minus_plain": hybrid_summary(),
        "new_items": new_item_summary(),
        "served": served["figures"] if (served := existing(BENCHMARK, "served")) else None,
    }


def hybrid_summary() -> dict[str, Any]:
    """Interval of each hybrid minus the same model without metadata, in recall@20 by length of history."""
    return {
        name: {str(length): interval(against(f"{name} hybrid", name, length, "recall@20")) for length in LENGTHS}
        for name in (MULT_VAE, REC_VAE)
        if measured(name) and measured(f"{name} hybrid")
    }


def interval(gap: Interval) -> list[float]:
    """Its ends."""
    return [round(gap.low, 4), round(gap.high, 4)]


def new_items(question: str, name: str, run: str = "new-items") -> NDArray[np.float64]:
    """Values of each user about new items, averaged over the seeds that were measured; shape (n_users,)."""
    found = [existing(BENCHMARK, f"{run}-seed{seed}") for seed in SEEDS]
    lines = [one["figures"][question][name] for one in found if one is not None]
    averaged: NDArray[np.float64] = np.mean([np.array(line.split(), dtype=np.float64) for line in lines], axis=0)
    return averaged


def new_item_summary() -> dict[str, Any]:
    """Mean and standard error of each answer, and the interval of the first minus each other one."""
    found: dict[str, Any] = {}
    for question, names in NEW_ITEM_FIGURES.items():
        values = {name: new_items(question, name) for name in names}
        found[question] = {name: mean_and_error(value) for name, value in values.items()}
        for other in names[1:]:
            gap = paired_bootstrap(values[names[0]], values[other])
            found[question][f"{names[0]} - {other}"] = interval(gap)
    return found


def single_tiers(length: int) -> tuple[str, ...]:
    """Tiers that go by something at this length."""
    return TIERS if length else (PRIOR, SEGMENT, POPULAR)


def show() -> None:
    """Print the tables."""
    for metric in METRICS:
        table = Table(metric, *(f"h = {length}" for length in LENGTHS))
        for name in (LADDER, *TIERS, MULT_VAE):
            table.add_row(name, *("{:.4f} ± {:.4f}".format(*figure(name, length, metric)) for length in LENGTHS))
        for other in (POPULAR, MULT_VAE, *TIERS[:-1]):
            gaps = [against(LADDER, other, length, metric) for length in LENGTHS]
            table.add_row(f"ladder - {other}", *(f"{gap.low:+.4f} .. {gap.high:+.4f}" for gap in gaps))
        gaps = [against(POSTERIOR, MULT_VAE, length, metric) for length in LENGTHS]
        table.add_row("posterior - mult-vae", *(f"{gap.low:+.4f} .. {gap.high:+.4f}" for gap in gaps))
        for name in (MULT_VAE, REC_VAE):
            hybrid = f"{name} hybrid"
            if measured(name) and measured(hybrid):
                table.add_row(
                    hybrid, *("{:.4f} ± {:.4f}".format(*figure(hybrid, length, metric)) for length in LENGTHS)
                )
                gaps = [against(hybrid, name, length, metric) for length in LENGTHS]
                table.add_row(f"{hybrid} - plain", *(f"{gap.low:+.4f} .. {gap.high:+.4f}" for gap in gaps))
        if measured(LIGHTFM):
            peer = {length: against(LADDER, LIGHTFM, length, metric) for length in PEER_LENGTHS}
            values = {length: "{:.4f} ± {:.4f}".format(*figure(LIGHTFM, length, metric)) for length in PEER_LENGTHS}
            table.add_row(LIGHTFM, *(values.get(length, "") for length in LENGTHS))
            gap = {length: f"{peer[length].low:+.4f} .. {peer[length].high:+.4f}" for length in PEER_LENGTHS}
            table.add_row("ladder - lightfm", *(gap.get(length, "") for length in LENGTHS))
        gaps = [against(PRIOR, POPULAR, length, metric) for length in LENGTHS]
        table.add_row("prior - popular", *(f"{gap.low:+.4f} .. {gap.high:+.4f}" for gap in gaps))
        Console(width=180).print(table)


def draw(folder: Path) -> None:
    """Write the plots of the page."""
    names = (LADDER, POSTERIOR, PRIOR, SEGMENT, POPULAR, MULT_VAE)
    curves = {name: [figure(name, length, "ndcg@100") for length in LENGTHS] for name in names}
    plot_lengths(folder / "cold-start-lengths.svg", curves, LENGTHS)
    pairs = [(LADDER, POPULAR), (LADDER, MULT_VAE), (f"{MULT_VAE} hybrid", MULT_VAE)]
    gaps = {
        f"{ours} - {theirs}": [against(ours, theirs, length, "ndcg@100") for length in LENGTHS]
        for ours, theirs in pairs
        if measured(ours)
    }
    plot_gaps(folder / "cold-start-gaps.svg", gaps, LENGTHS)


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--only", nargs="*", choices=list(runs()), help="measure only these runs")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    parser.add_argument("--plots", type=Path, help="folder for the plots of docs/cold-start.md")
    arguments = parser.parse_args()
    wanted = runs()
    for run in () if arguments.print else arguments.only or wanted:
        record(BENCHMARK, run, wanted[run], fresh=arguments.fresh)
    show()
    if arguments.plots:
        draw(arguments.plots)
    print(json.dumps(summary()))


if __name__ == "__main__":
    main()
