"""Replay and pages: `make bench-ui`.

- replay: 10,000 lists of MovieLens 1M, asked for over five reloads with events and changes of items in between, and
  made again: how many are identical, on this processor and without its AVX-512 (ui_replay.py).
- pages: every page over 41,000 items while the API is at half load, and the API with and without somebody at the pages,
  which have a process of their own (ui_pages.py).
- pages-within: the same with pages made by the worker.

--requests and --visits do with fewer lists, and fewer visits of a page; records say how many there were.

Each run is one JSON file under results/ui; what is there is printed, not measured again (--fresh does). --short
tries everything out and keeps nothing.
"""

import argparse
import json
from functools import partial
from typing import Any

from recsys_vae.errors import UnavailableError
from tests.benchmarks import ui_pages, ui_replay
from tests.benchmarks.records import existing, record

BENCHMARK = "ui"
RUNS = ("replay", "pages", "pages-within")
REQUESTS, VISITS = 10_000, 50


def measured(run: str, requests: int, visits: int, seconds: float, rounds: int) -> dict[str, Any]:
    """The figures of one run."""
    if run == "replay":
        return ui_replay.measure_replay(requests)
    return ui_pages.measure_pages(visits, seconds, rounds, apart=run == "pages")


def summary(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The last line; None for what has not been measured."""
    replay, pages = figures.get("replay", {}), figures.get("pages", {})
    here, avx2 = (replay.get("made_again", {}).get(name, {}) for name in ("same processor", "AVX2"))
    return {
        "replay_identical": here.get("replay_identical"),
        "replay_rounding_only": here.get("rounding_only"),
        "replay_refused": here.get("refused"),
        "replay_identical_avx2": avx2.get("replay_identical"),
        "replay_rounding_only_avx2": avx2.get("rounding_only"),
        "slowest_page_p95_ms": pages.get("slowest_page_p95_ms"),
        "api_p99_ratio": pages.get("api", {}).get("p99_ratio"),
    }


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--only", nargs="*", choices=RUNS, help="measure only these runs")
    parser.add_argument("--short", action="store_true", help="little of everything; keeps nothing")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="lists that are asked for and made again")
    parser.add_argument("--visits", type=int, default=VISITS, help="of each page")
    arguments = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    for run in arguments.only or RUNS:
        try:
            if arguments.short:
                figures[run] = measured(run, 300, 2, 2.0, 1)
            else:
                full = partial(measured, run, arguments.requests, arguments.visits, 6.0, 8)
                record(BENCHMARK, run, full, fresh=arguments.fresh)
        except UnavailableError as error:
            print(f"{run} is left out: {error}", flush=True)
    if not arguments.short:
        kept = {run: existing(BENCHMARK, run) for run in RUNS}
        figures = {run: content["figures"] for run, content in kept.items() if content is not None}
    print(json.dumps(figures, indent=1))
    print(json.dumps(summary(figures)))


if __name__ == "__main__":
    main()
