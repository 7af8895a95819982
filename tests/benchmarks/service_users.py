"""The service asked about users whose histories are in its event store, as a shop does it."""

import asyncio
import shutil
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.service_processes import serving
from tests.benchmarks.service_runs import Times, good, gowalla, load_of, take_turns


def measure_users(times: Times, rates: Sequence[float] = (100, 200, 400, 1000)) -> dict[str, Any]:
    """Requests about users of the store, whose lists are recorded: the highest rate, and latency at lower ones."""
    world = gowalla(201)
    bodies = world.bodies_by_user()
    with TemporaryDirectory() as folder, serving(world.bundle, _copied(world.store, folder), exposures="on") as server:
        rounds = take_turns({"service": server}, bodies, times)["service"]
        found = {"requests_per_second": rounds, "at": {}}
        for rate in (*rates, round(rounds["median"] / 2)):
            computed = server.cpu_seconds()
            outcome = asyncio.run(load_of(server, bodies).open_loop(rate, times.load))
            share = (server.cpu_seconds() - computed) / outcome.seconds
            failed = len(outcome.samples) - good(outcome)
            found["at"][str(rate)] = {**outcome.percentiles(), "share_of_core": round(share, 3), "failed": failed}
    return found


def _copied(store: str, folder: str) -> str:
    """A copy of a store: what is recorded there stays out of other runs."""
    scheme, path = store.split("///", 1)
    return f"{scheme}///{shutil.copy(path, folder)}"
