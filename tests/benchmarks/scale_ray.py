"""Ingest, batch and evaluate on a local Ray cluster beside one machine: equal byte for byte, nodes killed or not.

A cluster of a head and two nodes of one processor each, object stores of 100 MiB, tokens on. Each job is run there, its
files and figures compared with those of one machine; then again and again, each time with a node that is killed at a
random moment and another one begun, until twenty have been. What Ray costs is measured with one node of one processor
against one process of as many threads: on the clock, and in seconds of the processors, Ray's own processes included.
The last line of output is JSON.

    python -m tests.benchmarks.scale_ray [--events 300000] [--fresh]
"""

import argparse
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tests.ray_clusters import OBJECT_STORE, ray_cluster, replace_node

os.environ |= {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}

from pipelines.cluster.connection import Cluster, connected
from pipelines.dataset.directory import DatasetDir
from pipelines.evaluation.evaluate import METRICS, evaluate_bundle
from pipelines.evaluation.on_cluster import spread_on as measuring_on
from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.distributed.run import ClusterRun
from pipelines.ingest.ingest import ingest
from pipelines.ingest.keep import Keep
from pipelines.ingest.log_sources import Source
from pipelines.ingest.part_folders import parts_of
from pipelines.recommend import TORCH, Asked, recommend_all
from pipelines.sharded_lists import spread_on
from pipelines.sizing.calibration import run_verb
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.home import home
from recsys_vae.reranking.rules import NO_RULES
from tests.benchmarks.records import record

BENCHMARK = "scale"
KILLS = 20
LATEST = 1.5
"""Seconds from the beginning of a job to when a node is killed, at most."""
K, CHUNK, BATCH, ROWS_PER_PART = 100, 64, 8, 10_000
RULES = CleaningRules(
    event_weights=(("view", 1.0), ("cart", 2.0), ("purchase", 5.0)), keep=Keep.MAX, min_user=3, min_item=3
)
Job = Callable[[Cluster | None], dict[str, str]]


def folder() -> Path:
    """Where logs, datasets and lists go."""
    return home() / "bench-scale"


def prepare(events: int) -> None:
    """A log in parts, the dataset of one machine, a split of it and a bundle."""
    size = ("--users", str(events // 40), "--items", "4000", "--events", str(events), "--seed", "11")
    dirt = ("--bad", "0.002", "--duplicates", "0.003", "--skewed", "0.01", "--part-rows", str(events // 12))
    run_verb(home(), "simulate", str(folder() / "ray-log"), *size, *dirt)
    ingest(_source(), DatasetDir(folder() / "ray-data"), RULES, overwrite=True, rows_per_part=ROWS_PER_PART)
    data = str(folder() / "ray-data")
    run_verb(home(), "split", data, "--protocol", "strong")
    run_verb(home(), "train", data, "--to", str(folder() / "ray-bundle"), "--model", "ease", "--overwrite")


def ingested(cluster: Cluster | None) -> dict[str, str]:
    """Digests of the files of a dataset."""
    target = DatasetDir(folder() / "ray-made")
    begin = None if cluster is None else partial(ClusterRun, cluster=cluster)
    ingest(_source(), target, RULES, overwrite=True, rows_per_part=ROWS_PER_PART, begin=begin)
    files = [path for path in sorted(target.path.rglob("*")) if path.is_file()]
    return {str(path.relative_to(target.path)): sha256(path.read_bytes()).hexdigest() for path in files}


def listed(cluster: Cluster | None) -> dict[str, str]:
    """Digest of the file of lists."""
    bundle, data, to = folder() / "ray-bundle", DatasetDir(folder() / "ray-data"), folder() / "ray-lists.parquet"
    asked = Asked(K, "exclude", None, TORCH, NO_RULES)
    spread = None if cluster is None else spread_on(cluster, bundle, data, to, asked, None, CHUNK)
    recommend_all(Bundle.load(bundle), data, to, k=K, chunk=CHUNK, spread=spread)
    return {to.name: sha256(to.read_bytes()).hexdigest()}


def measured(cluster: Cluster | None) -> dict[str, str]:
    """Digests of all figures by user, and of the differences with their intervals."""
    spread = None if cluster is None else measuring_on(cluster)
    data = DatasetDir(folder() / "ray-data")
    run = evaluate_bundle(
        folder() / "ray-bundle",
        data,
        "strong",
        baselines=["popularity"],
        metrics=METRICS,
        batch_size=BATCH,
        spread=spread,
    )
    found = {"differences": sha256(repr(run.differences).encode()).hexdigest()}
    for one in run.results:
        for name, values in one.evaluation.per_user.items():
            found[f"{one.label} {name}"] = sha256(values.tobytes()).hexdigest()
    return found


JOBS: dict[str, Job] = {"ingest": ingested, "batch": listed, "evaluate": measured}


def _source() -> Source:
    return Source(tuple(parts_of(folder() / "ray-log" / "events")))


def compare() -> dict[str, Any]:
    """Whether all is equal on two nodes."""
    wanted = {name: job(None) for name, job in JOBS.items()}
    with ray_cluster() as started, connected(started.address, folder()) as cluster:
        equal = {name: job(cluster) == wanted[name] for name, job in JOBS.items()}
    return {"equal": equal, "files": len(wanted["ingest"])}


def compare_killed(kills: int) -> dict[str, Any]:
    """Whether all is equal while nodes are killed."""
    wanted = {name: job(None) for name, job in JOBS.items()}
    killed, rounds, equal = dict.fromkeys(JOBS, 0), dict.fromkeys(JOBS, 0), dict.fromkeys(JOBS, True)
    with ray_cluster() as started, connected(started.address, folder()) as cluster:
        while sum(killed.values()) < kills:
            name = min(JOBS, key=lambda one: killed[one])
            with _killing(started) as count:
                equal[name] &= JOBS[name](cluster) == wanted[name]
            killed[name] += count()
            rounds[name] += 1
            print(f"{name}: {killed[name]} nodes killed in {rounds[name]} rounds, equal {equal[name]}", flush=True)
    return {"kills": killed, "rounds": rounds, "equal": equal}


@contextmanager
def _killing(started: Any) -> Iterator[Callable[[], int]]:
    """While the context lasts, a node is killed at a random moment, and another one begun."""
    over, killed = Event(), [0]

    def kill() -> None:
        if not over.wait(random.uniform(0.1, LATEST)):
            killed[0] += 1  # before it is, so within the job
            replace_node(started)

    thread = Thread(target=kill)
    thread.start()
    try:
        yield lambda: killed[0]
    finally:
        over.set()
        thread.join()


def overhead() -> dict[str, Any]:
    """Seconds of each job here, and on one node of one processor."""
    found: dict[str, dict[str, float]] = {}
    for name, job in JOBS.items():
        job(None)
        found[name] = _timed(partial(job, None), "here")
    with ray_cluster(nodes=1) as started, connected(started.address, folder()) as cluster:
        for name, job in JOBS.items():
            job(cluster)  # workers have imported all by then
            found[name] |= _timed(partial(job, cluster), "on_ray")
    return found


def _timed(work: Callable[[], object], where: str) -> dict[str, float]:
    wall, processors = time.perf_counter(), _processor_seconds()
    work()
    seconds = {f"{where}_wall_s": time.perf_counter() - wall, f"{where}_processor_s": _processor_seconds() - processors}
    return {name: round(value, 2) for name, value in seconds.items()}


def _processor_seconds() -> float:
    """Of this process and all below it."""
    parents, ticks = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)], ticks[int(entry.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    below, found = {os.getpid()}, 0
    while found != len(below):
        found = len(below)
        below |= {one for one, parent in parents.items() if parent in below}
    return sum(ticks[one] for one in below if one in ticks) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print what was measured, measure what was not, and end in one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()

    def prepared(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        prepare(options.events)
        try:
            return {"events": options.events, **measure()}
        finally:
            for path in folder().glob("ray-*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    kills = record(BENCHMARK, "ray-kills", lambda: prepared(lambda: compare_killed(KILLS)), fresh=options.fresh)[
        "figures"
    ]
    jobs = record(BENCHMARK, "ray", lambda: prepared(compare), fresh=options.fresh)["figures"]
    costs = record(BENCHMARK, "ray-overhead", lambda: prepared(overhead), fresh=options.fresh)["figures"]
    for name in JOBS:
        print(f"{name:9} equal {jobs['equal'][name]}, {kills['kills'][name]} kills: equal {kills['equal'][name]}")
    told = {
        name: {what: round(one[f"on_ray_{what}"] / one[f"here_{what}"] - 1, 3) for what in ("wall_s", "processor_s")}
        for name, one in costs.items()
        if name in JOBS
    }
    print(
        json.dumps(
            {
                "ray_equal": all(jobs["equal"].values()),
                "ray_kills_equal": all(kills["equal"].values()),
                "ray_kills": sum(kills["kills"].values()),
                "ray_overhead": told,
                "object_store_mib": OBJECT_STORE >> 20,
            }
        )
    )


if __name__ == "__main__":
    main()
