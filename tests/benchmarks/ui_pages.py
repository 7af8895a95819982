"""Pages over 41,000 items: how long each takes while the API is at half load, and what that does to the API.

The server has one core, one worker, and where that is asked for a process that makes the pages; the load, in an open
loop, and whoever opens pages are processes on the other.
Pages are timed from the request to the last byte. Who opens pages in the turns of the API does so once a second.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import numpy as np
import polars as pl

from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import MANIFEST, Provenance
from service import timestamps
from service.store.events import EventStore
from service.store.impressions import Impression, ImpressionTable
from service.store.user_sets import UserSets
from tests.benchmarks.service_load import Load, Outcome
from tests.benchmarks.service_processes import Server, over_the_wire, serving, take_other_core
from tests.benchmarks.service_worlds import World, build
from tests.benchmarks.ui_clicks import costs
from tests.browser.home import write_home
from tests.browser.research import look_here

N_ITEMS = 41_000
WORDS = (
    "Winter",
    "River",
    "The Long Night",
    "Stranger",
    "Harbour",
    "Glass",
    "Morning",
    "Two Roads",
    "Silence",
    "North",
)
GENRES = ("Drama", "Comedy", "Thriller", "Animation")
Loads = Callable[[], Load]

CONNECTIONS = 64
LISTS = 10_000
"""Shown before anything is timed: as many as the pages count."""
DAY = 86_400_000_000
STRETCH = 2.0
"""Seconds of load after which it is looked whether all pages were opened."""
PAUSE = 1.0
"""Seconds between two pages of somebody who clicks through them."""


def measure_pages(per_page: int, seconds: float, rounds: int, *, apart: bool) -> dict[str, Any]:
    """Pages at half load, then the API in turns with and without somebody at the pages.

    Args:
        per_page: visits of each page.
        seconds: of each turn.
        rounds: turns of each kind.
        apart: whether pages have a process of their own.
    """
    take_other_core()
    worlds = [build("rec-vae", N_ITEMS, seed=seed) for seed in (0, 1)]
    bundles = [_titled(world) for world in worlds]
    with _home() as (folder, store):
        settings = {"home": folder / "home", "bundle_root": bundles[0].parents[1], "exposures": "on", "ui": 1}
        settings["ui_process"] = int(apart)
        with serving(bundles[0], store, **settings) as server:
            _prepare(server, bundles[1], store)
            requests = [over_the_wire(server, body) for body in worlds[0].bodies_by_user()]
            load = partial(Load, server.host, server.port, requests, connections=CONNECTIONS)
            rate = asyncio.run(load().closed_loop(seconds)).rate()
            found = {"items": N_ITEMS, "highest_rate": round(rate, 1), "load_average": [os.getloadavg()[0]]}
            cpu = costs(server.url, server.cpu_seconds, max(5, per_page // 5))
            print(f"half load is {rate / 2:.0f} requests a second", flush=True)
            found["pages"] = _pages(server, load, rate / 2, per_page, cpu)
            found["api"] = _turns(server, load, rate / 2, seconds, rounds)
    found["load_average"].append(os.getloadavg()[0])
    slowest = max(page["p95_ms"] for page in found["pages"].values())
    return found | {"slowest_page_p95_ms": slowest}


def _titled(world: World) -> Path:
    """The same bundle with titles, genres and years."""
    directory = world.bundle.with_name("titled")
    if not (directory / MANIFEST).is_file():
        bundle = Bundle.load(world.bundle)
        places = range(len(bundle.items))
        table = pl.DataFrame({
            "item_id": bundle.items.values,
            "title": [f"{WORDS[place % 10]} {1 + place // 10}" for place in places],
            "genre": [GENRES[place // 3 % 4] for place in places],
            "year": [1950 + place % 75 for place in places],
        })  # fmt: skip
        origin = Provenance(dataset="random", trained_on="nothing", n_users=len(world.users))
        write_bundle(
            directory, bundle.model, bundle.items, popularity=bundle.popularity, provenance=origin, item_table=table
        )
    return directory


@contextmanager
def _home() -> Iterator[tuple[Path, str]]:
    """A home with a dataset, decisions, runs and image models, and a store of 256 users."""
    world, before = build("rec-vae", N_ITEMS), os.environ.get("RECSYS_HOME")
    with TemporaryDirectory() as name:
        folder = Path(name)
        look_here(folder / "home")  # has this process take it, too
        write_home(folder / "home")
        if before is None:
            del os.environ["RECSYS_HOME"]
        else:
            os.environ["RECSYS_HOME"] = before
        (folder / "events.db").write_bytes(Path(world.store.removeprefix("sqlite:///")).read_bytes())
        yield folder, f"sqlite:///{folder}/events.db"


def _prepare(server: Server, second: Path, store: str) -> None:
    """Two bundles in memory, a set of users, and lists to make again."""
    with closing(EventStore(store)) as events:
        _show(events)
        UserSets(events.database).save("regulars", [f"u{number}" for number in range(40)])
    with httpx2.Client(base_url=server.url, timeout=60.0) as client:
        source = str(second.relative_to(second.parents[1]))
        client.post("/v1/admin/reload", json={"source": source}).raise_for_status()
        for number in range(256):
            headers = {"X-Request-ID": f"shown.{number}"}
            client.post("/v1/recommendations", json={"user_id": f"u{number}"}, headers=headers).raise_for_status()


def _show(store: EventStore) -> None:
    """Ten days of lists, as many as the pages count."""
    draw, now = np.random.default_rng(0), timestamps.now()
    lists = [
        Impression(
            f"before.{number}", f"u{number % 256}", "main", "rec-vae-before", True,
            tuple(map(str, draw.zipf(1.3, 20) % N_ITEMS)), now - int(draw.integers(10 * DAY)),
        )
        for number in range(LISTS)
    ]  # fmt: skip
    for start in range(0, LISTS, 1_000):
        ImpressionTable(store.database).add(lists[start : start + 1_000])


def _pages(server: Server, load: Loads, rate: float, per_page: int, cpu: Any) -> dict[str, dict[str, float]]:
    """Milliseconds of each page while requests come, until all pages were opened."""
    taken, _ = _clicked(server, load, rate, None, per_page, 0.0)
    return {
        page: {"p50_ms": round(float(np.percentile(one, 50)), 1), "p95_ms": round(float(np.percentile(one, 95)), 1),
               "max_ms": round(max(one), 1), "n": len(one), "cpu_ms": cpu[page]}
        for page, one in taken.items()
    }  # fmt: skip


def _turns(server: Server, load: Loads, rate: float, seconds: float, rounds: int) -> dict[str, Any]:
    """The API at half load, with nobody and with somebody at the pages, by turns; the first of them alternates."""
    found: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
    for number in range(rounds):
        for name in ("without", "with") if number % 2 else ("with", "without"):
            before = server.cpu_seconds()
            if name == "with":
                _, outcome = _clicked(server, load, rate, seconds, 1_000, PAUSE)
            else:
                outcome = asyncio.run(load().open_loop(rate, seconds))
            busy = (server.cpu_seconds() - before) / seconds
            failed = sum(sample.status != 200 for sample in outcome.samples)
            found[name].append({**outcome.percentiles(), "failed": failed, "busy": round(busy, 3)})
    ratios = [one["p99_ms"] / other["p99_ms"] for one, other in zip(found["with"], found["without"], strict=True)]
    middle = {name: median(turn["p99_ms"] for turn in turns) for name, turns in found.items()}
    return {
        "rate": round(rate, 1), **{f"p99_ms_{name}": value for name, value in middle.items()},
        "p99_ratio": round(median(ratios), 3), "p99_ratios": [round(ratio, 3) for ratio in ratios], "turns": found,
    }  # fmt: skip


def _clicked(
    server: Server, load: Loads, rate: float, seconds: float | None, per_page: int, pause: float
) -> tuple[dict[str, list[float]], Outcome]:
    """Requests while pages are opened: for some seconds, or until all have been."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.ui_clicks",
        server.url,
        str(per_page),
        str(pause),
        str(seconds or 0),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as person:
        assert person.stdout is not None
        person.stdout.readline()  # it begins
        outcome = asyncio.run(load().open_loop(rate, seconds or STRETCH))
        while seconds is None and person.poll() is None:
            outcome = asyncio.run(load().open_loop(rate, STRETCH))
        taken = json.loads(person.stdout.read())
    return taken, outcome
