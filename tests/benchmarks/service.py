"""Speed and steadiness of the service: `make bench-service`. Two cores: one serves, the other asks.

- load-201, load-601: one worker over 40,981 items (Gowalla's), k = 20, a history of 30 items in the request; RecVAE's
  vectors are 201 wide, Mult-VAE's 601. In the same run, turn by turn, a bare FastAPI endpoint that returns the same
  JSON on the same server (service_bare.py). The highest rate is wrk's, or that of a closed loop of our own where wrk is
  not installed; percentiles are those of an open loop at half of each server's own rate (service_load.py), and of one
  connection that waits for each answer. `rps_bound` is 1 / (bare + product and top-k), at the fastest batch.
- users: the same catalogue, asked about users whose histories are in an event store (SQLite), with lists recorded.
- table-SIZE: latency on one connection by size of the catalogue, share of items allowed and source of the history; the
  recall against all scores in each cell.
- swaps: full load while two bundles are swapped ten times; answers are compared with those of the version they name.
- overload: three times the highest rate, then half of it.
- workers: memory and start of two and four workers beside one. two-workers: what a request costs two workers on two
  cores beside one on one. peers: `implicit` behind FastAPI, MLflow's server of the bundle, recotem (service_peers.py).
- kills: a worker that takes events is killed twenty times; what it acknowledged must be there, once.

Each run is one JSON file under results/service; what is there is printed, not measured again (--fresh does). --short
tries everything out in seconds and keeps nothing.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from recsys_vae.errors import UnavailableError
from tests.benchmarks import service_events, service_peers, service_runs, service_users, service_workers
from tests.benchmarks.records import existing, record
from tests.benchmarks.service_processes import take_other_core
from tests.benchmarks.service_runs import SHORT, SIZES, Times

BENCHMARK = "service"
Run = Callable[[Times], dict[str, Any]]

RUNS: dict[str, Run] = {
    "load-201": lambda times: service_runs.measure_load(201, times),
    "load-601": lambda times: service_runs.measure_load(601, times),
    "users": service_users.measure_users,
    **{f"table-{size}": (lambda times, size=size: service_runs.measure_cells(size, times)) for size in SIZES},
    "swaps": service_runs.measure_swaps,
    "overload": service_runs.measure_overload,
    "kills": service_events.measure_kills,
    "workers": service_workers.measure_workers,
    "two-workers": service_workers.measure_two_workers,
    "peers": service_peers.measure_peers,
}


def figures_kept() -> dict[str, dict[str, Any]]:
    """Figures of the runs that have a record."""
    found = {run: existing(BENCHMARK, run) for run in RUNS}
    return {run: content["figures"] for run, content in found.items() if content is not None}


def summary(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The last line, RecVAE's of the loads; None for what has not been measured."""

    def figure(run: str, *names: str) -> Any:
        found: Any = figures.get(run, {})
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return round(found, 3) if isinstance(found, float) else found

    def ratio(percentile: str) -> float | None:
        own, bare = (figure("load-201", "half_load", name, percentile) for name in ("service", "bare"))
        return round(own / bare, 3) if own and bare else None

    def above_bare(percentile: str) -> float | None:
        own, bare = (figure("load-201", "one_connection", name, percentile) for name in ("service", "bare"))
        return round(own - bare, 3) if own and bare else None

    return {
        "rps_share_of_bare": figure("load-201", "rps_share_of_bare"),
        "rps_share_of_bare_601": figure("load-601", "rps_share_of_bare"),
        "p99_ratio_half_load": ratio("p99_ms"),
        "p50_ratio_half_load": ratio("p50_ms"),
        "p99_ms_half_load": figure("load-201", "half_load", "service", "p99_ms"),
        "bare_p99_ms_half_load": figure("load-201", "half_load", "bare", "p99_ms"),
        "p50_ms_above_bare_one_connection": above_bare("p50_ms"),
        "failed_during_swaps": figure("swaps", "failed"),
        "acked_events_lost": figure("kills", "lost"),
        "overload_bad_statuses": figure("overload", "bad_statuses"),
        "second_worker_memory_share": figure("workers", "second_worker_memory_share"),
        "two_workers_ratio": figure("two-workers", "two_workers_ratio"),
        "best_peer_ratio": figure("peers", "best_peer_ratio"),
        "overload_useful_share": figure("overload", "useful_share_of_sustainable"),
    }


def show(figures: dict[str, dict[str, Any]]) -> None:
    """Print every figure, a line each."""
    table = Table("run", "figure", "value")
    for run in RUNS:
        lines = _flat(figures[run]) if run in figures else [("", "not measured")]
        for number, (name, value) in enumerate(lines):
            table.add_row("" if number else run, name, value)
    Console(width=120).print(table)


def _flat(found: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{name}: ")
        else:
            lines.append((prefix + name, f"{value:,.3f}" if isinstance(value, float) else str(value)))
    return lines


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--only", nargs="*", choices=list(RUNS), help="measure only these runs")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    parser.add_argument("--short", action="store_true", help="a few seconds a run; keeps nothing")
    arguments = parser.parse_args()
    tried: dict[str, dict[str, Any]] = {}
    if not arguments.print:
        take_other_core()
        for run in arguments.only or RUNS:
            try:
                if arguments.short:
                    tried[run] = _tried(run)
                else:
                    record(BENCHMARK, run, lambda run=run: RUNS[run](Times()), fresh=arguments.fresh)
            except UnavailableError as error:
                print(f"{run} is left out: {error}", flush=True)
    figures = tried if arguments.short else figures_kept()
    show(figures)
    print(json.dumps(summary(figures)))


def _tried(run: str) -> dict[str, Any]:
    print(f"trying {BENCHMARK}/{run} ...", flush=True)
    return RUNS[run](SHORT)


if __name__ == "__main__":
    main()
