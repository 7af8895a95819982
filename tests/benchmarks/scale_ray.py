"""Ingest, training, batch and evaluation on a local Ray cluster beside one machine: equal byte for byte.

A cluster of a head and two nodes of one processor each, object stores of 200 MiB, tokens on. Each job is run there, its
files and figures compared with those of one machine; then with nodes that are killed (scale_ray_kills), and what Ray
costs is measured (scale_ray_costs). The last line of output is JSON.

    python -m tests.benchmarks.scale_ray [--kills 20] [--only ray,ray-kills,ray-overhead,ray-overhead-long] [--fresh]
"""

import argparse
import json
import os
from collections.abc import Callable
from functools import partial
from typing import Any

# Ray's workers have a niceness of 15 otherwise, and wait for whatever else the machine has to do.
os.environ |= {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "RAY_worker_niceness": "0"}

from pipelines.cluster.connection import connected
from tests.benchmarks.records import existing, record
from tests.benchmarks.scale_ray_costs import costs, overhead
from tests.benchmarks.scale_ray_jobs import Job, folder, ingested, jobs, listed, prepare, remove
from tests.benchmarks.scale_ray_kills import kill_in, told
from tests.ray_clusters import OBJECT_STORE, ray_cluster

BENCHMARK = "scale"
EVENTS, ITEMS, ROWS_PER_PART, CHUNK = 100_000, 4_000, 10_000, 64
"""Of the jobs that are compared, small enough to be killed twenty times each."""
MANY, MANY_ITEMS, MANY_PER_PART, MANY_AT_ONCE = 2_000_000, 5_000, 1_000_000, 1_000
"""Of long jobs: two million rows, a bundle of 25 million weights."""
JOBS = jobs(ROWS_PER_PART, CHUNK)
LONG: dict[str, Job] = {"ingest": partial(ingested, MANY_PER_PART), "batch": partial(listed, MANY_AT_ONCE)}
KILLED = {name: JOBS[name] for name in ("ingest", "train", "batch")}
PARTS = ("ray", "ray-overhead", "ray-overhead-long", "ray-kills")


def compare() -> dict[str, Any]:
    """Whether all is equal on two nodes."""
    wanted = {name: job(None) for name, job in JOBS.items()}
    with ray_cluster() as started, connected(started.address, folder()) as cluster:
        equal = {name: job(cluster) == wanted[name] for name, job in JOBS.items()}
    return {"events": EVENTS, "equal": equal, "files": {name: len(files) for name, files in wanted.items()}}


def within(work: Callable[[], dict[str, Any]], *world: int) -> dict[str, Any]:
    """Do it with a log, a dataset and a bundle, which are gone afterwards."""
    try:
        prepare(*world)
        return work()
    finally:
        remove()


def kill(kills: int) -> dict[str, Any]:
    """Kill what is missing of so many nodes in each job."""
    counts = told()["kills"]
    if any(counts.get(name, 0) < kills for name in KILLED):
        within(lambda: {"": kill_in(KILLED, kills)}, EVENTS, ITEMS, ROWS_PER_PART)
    return told()


def show(known: dict[str, dict[str, Any]], killed: dict[str, Any], asked: int) -> dict[str, Any]:
    """Print what is known; figures by name, None for what is not known yet."""
    equal = known["ray"].get("equal", {})
    for name in JOBS:
        kills = killed["kills"].get(name, 0)
        print(f"{name:9} equal {equal.get(name)}, {kills} nodes killed: equal {killed['equal'].get(name)}")
    all_equal = all(killed["equal"].values())
    is_done = all(killed["kills"].get(name, 0) >= asked for name in KILLED)
    return {
        "ray_equal": all(equal.values()) if equal else None,
        "ray_kills_equal": all_equal if is_done or not all_equal else None,
        "ray_kills": killed["kills"],
        "ray_overhead": {
            part.removeprefix("ray-overhead").lstrip("-") or "small": overhead(known[part]) for part in PARTS[1:3]
        },
        "object_store_mib": OBJECT_STORE >> 20,
    }


def main() -> None:
    """Print what was measured, measure what was not, and end in one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="nodes to be killed in each job")
    parser.add_argument(
        "--only", default=",".join(PARTS), help="parts to be measured, with commas; of others what is kept"
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record, but kills")
    options = parser.parse_args()
    small, many = (EVENTS, ITEMS, ROWS_PER_PART), (MANY, MANY_ITEMS, MANY_PER_PART)
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "ray": lambda: within(compare, *small),
        "ray-overhead": lambda: {"events": EVENTS} | within(lambda: costs(JOBS), *small),
        "ray-overhead-long": lambda: {"events": MANY} | within(lambda: costs(LONG, 1), *many),
    }
    wanted, known = options.only.split(","), dict[str, dict[str, Any]]()
    for part, measure in measures.items():
        kept = record(BENCHMARK, part, measure, fresh=options.fresh) if part in wanted else existing(BENCHMARK, part)
        known[part] = kept["figures"] if kept else {}
    killed = kill(options.kills) if "ray-kills" in wanted else told()
    print(json.dumps(show(known, killed, options.kills)))


if __name__ == "__main__":
    main()
