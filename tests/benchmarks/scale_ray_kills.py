"""Nodes of a local Ray cluster are killed within jobs, again and again; what the jobs make stays the same.

Each job is run by itself first, then so often that twenty nodes have been killed in it: one of three, at a random
moment of a run, while it has work, with all its processes. The others go on, and once the run is over another node is
begun. A run is a line of results/scale/ray-kills.jsonl, written as soon as it is over, so that a bench that is broken
off goes on where it was. A run that was over before its node was killed does not count. One that is not over within
ten minutes is a line that is not equal, and ends the bench, with the stacks of its threads.
"""

import faulthandler
import json
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any, Final

from pipelines.cluster.connection import Cluster, connected
from tests.benchmarks.records import RESULTS, commit, machine
from tests.benchmarks.scale_ray_jobs import Job, folder
from tests.ray_clusters import add_node, busy_node, kill_node, ray_cluster

RECORD: Final = RESULTS / "scale" / "ray-kills.jsonl"
NODES: Final = 3
EARLIEST, LATEST = 0.05, 0.85
"""When a node is killed, as shares of the time that the job takes without."""

LIMIT: Final = 600
"""Seconds that a run, or a node that begins, may take."""


def runs() -> list[dict[str, Any]]:
    """All that have been recorded."""
    return [json.loads(line) for line in RECORD.read_text().splitlines()] if RECORD.is_file() else []


def told() -> dict[str, Any]:
    """Kills, and whether all was equal, by job."""
    found: dict[str, list[bool]] = {}
    for run in runs():
        found.setdefault(run["job"], []).append(run["equal"])
    return {
        "kills": {job: len(all_of) for job, all_of in found.items()},
        "equal": {job: all(o) for job, o in found.items()},
    }


def kill_in(chosen: Mapping[str, Job], kills: int) -> None:
    """Go on until so many nodes have been killed in each job."""
    counts = told()["kills"]
    left = {name: kills - counts.get(name, 0) for name in chosen}
    if max(left.values()) <= 0:
        return
    wanted = {name: job(None) for name, job in chosen.items()}
    kept = {"machine": machine(), "commit": commit()}
    with ray_cluster(NODES) as started, connected(started.address, folder()) as cluster:
        usual = {name: _usual(job, cluster) for name, job in chosen.items() if left[name] > 0}
        while max(left.values()) > 0:
            while len(started.worker_nodes) < NODES:
                with _limited("a node that was to begin"):
                    add_node(started)
            name = max(left, key=lambda one: left[one])
            run = _run(chosen[name], cluster, started, usual[name], wanted[name])
            if run is None:
                continue
            left[name] -= 1
            line = {"job": name, **run, "date": datetime.now(UTC).isoformat(timespec="seconds"), **kept}
            RECORD.parent.mkdir(parents=True, exist_ok=True)
            with RECORD.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{name}: {kills - left[name]} of {kills} nodes killed; {run}", flush=True)
            if run["seconds"] >= LIMIT:
                raise TimeoutError(f"{name}: {run.get('error')} It is recorded as not equal.")


def _usual(job: Job, cluster: Cluster) -> float:
    """Seconds of a job."""
    begun = time.perf_counter()
    with _limited("a run without a kill"):
        job(cluster)
    return time.perf_counter() - begun


def _run(job: Job, cluster: Cluster, started: Any, usual: float, wanted: dict[str, str]) -> dict[str, Any] | None:
    """A run within which a node is killed; None where it was over before."""
    over, at = Event(), random.uniform(EARLIEST, LATEST) * usual
    killed: list[float] = []
    begun = time.perf_counter()

    def kill() -> None:
        is_over = over.wait(at)
        while not is_over and (node := busy_node(started)) is None:
            is_over = over.wait(0.05)
        if not is_over:
            killed.append(time.perf_counter() - begun)
            kill_node(started, node)

    thread = Thread(target=kill)
    thread.start()
    try:
        with _limited("a run with a kill"):
            error, found = "", job(cluster)
    except Exception as raised:  # whatever it is, the job has not made what it makes
        error, found = f"{type(raised).__name__}: {raised}"[:300], {}
    finally:
        over.set()
        seconds = time.perf_counter() - begun
        thread.join()
    if not killed and not error:
        return None
    figures = {"usual_s": usual, "killed_after_s": killed[0] if killed else 0.0, "seconds": seconds}
    told_of = {name: round(value, 2) for name, value in figures.items()}
    return (
        told_of | {"equal": found == wanted, "load": round(os.getloadavg()[0], 1)} | ({"error": error} if error else {})
    )


@contextmanager
def _limited(what: str) -> Iterator[None]:
    """Raise TimeoutError in the main thread, which this must be, where it takes longer than it may."""

    def stop(*_: object) -> None:
        faulthandler.dump_traceback()
        raise TimeoutError(f"{what} was not over within {LIMIT} s; the stacks are on standard error.")

    was = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, was)
