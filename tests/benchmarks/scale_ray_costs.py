"""What Ray costs: the same jobs by one process, and on a cluster with one node of one processor, in turns.

Small jobs, over within a second or so, show what each costs once: actors begun, modules imported, call after call.
Long ones, an ingest of millions of rows and lists from a large bundle, show what Ray takes of the work itself. Seconds
are on the clock, and of the processors: of this process and all below it, Ray's own among them, of this one alone (what
it does by itself no further node takes over), and of Ray's own, which take some as long as the clock runs. Bytes are
those that they all wrote.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final, NamedTuple

from pipelines.cluster.connection import connected
from tests.benchmarks.scale_ray_jobs import Job, folder
from tests.ray_clusters import ray_cluster

ROUNDS: Final = 3
KINDS: Final = ("wall_s", "processor_s")
RAYS_OWN: Final = ("/ray/core/src/", "/ray/dashboard/", "/ray/autoscaler/", "/log_monitor.py", "ray::DashboardAgent",
                   "ray::RuntimeEnvAgent")  # fmt: skip
"""In the command line of a process that is Ray's, and carries out nothing of what it is given."""
LOOKS: Final = 0.3
"""Seconds between looks at the processes: what ends is counted as it was last seen."""


def costs(chosen: Mapping[str, Job], rounds: int = ROUNDS) -> dict[str, Any]:
    """Seconds of each job here and on Ray, the least of some rounds in turns; a first one does not count."""
    found: dict[str, dict[str, float]] = {name: {} for name in chosen}
    with ray_cluster(nodes=1) as started, connected(started.address, folder()) as cluster:
        for name, job in chosen.items():
            for number in range(rounds + 1):
                both = _timed(partial(job, None), "here") | _timed(partial(job, cluster), "on_ray")
                for what, seconds in both.items() if number else ():  # workers have imported all by then
                    found[name][what] = min(seconds, found[name].get(what, seconds))
    return found | {"load": round(os.getloadavg()[0], 1)}


def overhead(found: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What Ray adds to each job, as a share of it."""
    return {
        name: {what: round(one[f"on_ray_{what}"] / one[f"here_{what}"] - 1, 3) for what in KINDS}
        for name, one in found.items()
        if isinstance(one, dict)
    }


class Used(NamedTuple):
    """What a process has used so far: ticks of the processors, bytes that it wrote, and ticks where it is Ray's own."""

    ticks: int = 0
    written: int = 0
    of_rays_own: int = 0


def _timed(work: Callable[[], object], where: str) -> dict[str, float]:
    wall, own = time.perf_counter(), time.process_time()
    with _counting() as used:
        work()
        wall, own = time.perf_counter() - wall, time.process_time() - own
    seconds, written, rays_own = used
    found = {"wall_s": wall, "processor_s": seconds, "own_processor_s": own, "written_mb": written / 1e6}
    found |= {"rays_own_processor_s": rays_own} if rays_own else {}
    return {f"{where}_{what}": round(value, 2) for what, value in found.items()}


@contextmanager
def _counting() -> Iterator[list[float]]:
    """Seconds of the processors that this process and all below it take while the context lasts, the bytes that they
    write, and the seconds of Ray's own among them; known at its end.
    """
    begun, seen, over = _used(), dict[int, Used](), Event()

    def look() -> None:
        while True:
            seen.update(_used())
            if over.wait(LOOKS):
                seen.update(_used())
                return

    used: list[float] = []
    thread = Thread(target=look)
    thread.start()
    try:
        yield used
    finally:
        over.set()
        thread.join()
        sums = [sum(now[kind] - begun.get(one, Used())[kind] for one, now in seen.items()) for kind in range(3)]
        second = os.sysconf("SC_CLK_TCK")
        used += [sums[0] / second, sums[1], sums[2] / second]


def _used() -> dict[int, Used]:
    """By this process and each one below it."""
    parents, used = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                written = int((entry / "io").read_text().split()[3])
                line = (entry / "cmdline").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            ticks = int(fields[11]) + int(fields[12])
            used[int(entry.name)] = Used(ticks, written, ticks * any(mark in line for mark in RAYS_OWN))
    below, found = {os.getpid()}, 0
    while found != len(below):
        found = len(below)
        below |= {one for one, parent in parents.items() if parent in below}
    return {one: used[one] for one in below if one in used}
