"""What further workers take beside the first: memory, and processor time until they answer."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

from tests.benchmarks.service_processes import serving
from tests.benchmarks.service_runs import Times
from tests.benchmarks.service_worlds import GOWALLA_ITEMS, World, build

WORKERS = (1, 2, 4)
ASKED = 64
"""Requests before memory is read, a connection of its own for each, so that all workers get some."""

SETTINGS = {"access_log": "false", "deadline_ms": 60_000}
"""Nobody is refused while the machine is busy: memory and processor time do not depend on it."""
HEADERS = {"Content-Type": "application/json"}


def measure_workers(_: Times) -> dict[str, Any]:
    """Memory of all processes (each page counted once) and their processor time at the first answer, by workers."""
    world = build("rec-vae", GOWALLA_ITEMS)
    figures = {str(workers): _held(world, workers) for workers in WORKERS}
    one, two, four = (figures[str(workers)]["memory_mib"] for workers in WORKERS)
    return {
        "by_workers": figures,
        "second_worker_memory_share": (two - one) / one,
        "further_worker_memory_share": (four - two) / 2 / one,
    }


def _held(world: World, workers: int) -> dict[str, float]:
    with (
        TemporaryDirectory() as folder,
        serving(world.bundle, f"sqlite:///{folder}/store.db", workers=workers, **SETTINGS) as server,
    ):
        started = sum(_cpu_seconds(pid) for pid in _family(server.pid))
        bodies = world.bodies()
        for number in range(ASKED):
            body = bodies[number % len(bodies)]
            httpx2.post(f"{server.url}/v1/recommendations", content=body, headers=HEADERS).raise_for_status()
        return {"memory_mib": sum(map(_memory_mib, _family(server.pid))), "start_cpu_seconds": started}


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def _memory_mib(pid: int) -> float:
    """Proportional set size: a page that n processes share counts as an n-th of one in each."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
