"""What further workers take beside the first, and what they bring: memory, processor time until they answer, rates."""

import asyncio
import os
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

from tests.benchmarks.service_processes import GENERATOR_CORE, SERVER_CORE, serving
from tests.benchmarks.service_runs import CONNECTIONS, Times, load_of
from tests.benchmarks.service_worlds import GOWALLA_ITEMS, World, build

WORKERS = (1, 2, 4)
CORES = (SERVER_CORE, GENERATOR_CORE)
ASKED = 64
"""Requests before memory is read, a connection of its own for each, so that all workers get some."""

SETTINGS: dict[str, Any] = {"access_log": "false", "deadline_ms": 60_000}
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


def measure_two_workers(times: Times) -> dict[str, Any]:
    """The rate of two workers on two cores beside that of one on one, by processor time.

    Who asks needs a core, too, and there are two: a rate of both workers would be what is left of their cores. So what
    counts is the processor time that all processes of the service take for a request, under full load, in turns: cores
    that do nothing else answer as many a second as fit into their time.
    """
    world = build("rec-vae", GOWALLA_ITEMS)
    bodies, costs, rates = world.bodies(), defaultdict[int, list[float]](list), defaultdict[int, list[float]](list)
    with TemporaryDirectory() as folder, ExitStack() as stack:
        store = f"sqlite:///{folder}/store.db"
        servers = {
            workers: stack.enter_context(
                serving(world.bundle, store, cores=CORES[:workers], workers=workers, log_level="error")
            )
            for workers in (1, 2)
        }
        for turn in range(times.rounds + 1):
            for workers, server in servers.items():
                before = server.cpu_seconds()
                load = load_of(server, bodies, connections=CONNECTIONS * workers)
                outcome = asyncio.run(load.closed_loop(times.rate if turn else min(2.0, times.rate)))
                if turn:
                    costs[workers].append((server.cpu_seconds() - before) / len(outcome.samples))
                    rates[workers].append(outcome.rate())
    one, two = (median(costs[workers]) for workers in (1, 2))
    return {
        "cpu_ms_a_request": {str(workers): median(some) * 1e3 for workers, some in costs.items()},
        "requests_per_second_beside_the_generator": {str(workers): median(some) for workers, some in rates.items()},
        "two_workers_ratio": 2 * one / two,
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
