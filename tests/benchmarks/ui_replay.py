"""Replay: thousands of lists asked for over five reloads, with events and changes of items in between, made again.

A real service answers sixteen connections at once, so that lists are computed in batches of changing sizes; they are
made again one at a time, in other processes, with the loops that the processor runs and with those of AVX2.

What was asked and made again so far lies under RECSYS_HOME/bench-ui until all is: a run that was stopped goes on.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from recsys_vae.errors import UnavailableError
from recsys_vae.home import home
from tests.benchmarks.live_items import Http
from tests.benchmarks.service_processes import serving
from tests.benchmarks.ui_replay_again import EXAMPLES
from tests.benchmarks.ui_replay_world import BUNDLES, ReplayWorld, bodies, build, bundles, change, event

ASKERS = 16
CHANGE_EVERY, EVENT_EVERY = 10, 5
"""Requests of one connection between two changes of items, and between two events."""
PIECE, AT_ONCE = 500, 2
"""Lists that a process makes again, and such processes."""
AVX2 = {
    "RECSYS_NATIVE": "avx2", "FAISS_OPT_LEVEL": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2", "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
}  # fmt: skip
"""Has our loops, FAISS, torch with what it multiplies by, and numpy do without AVX-512."""


def measure_replay(requests: int) -> dict[str, Any]:
    """Answer requests, and make all lists again twice."""
    folder = home() / "bench-ui" / f"replay-{requests}"
    store, done = f"sqlite:///{folder}/events.db", folder / "asked.json"
    if not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        world = build(store)
        settings = {"exposures": "on", "explore_share": 0.2, "deadline_ms": 60_000, "bundle_root": world.root}
        settings |= {"keep_previous": 0, "access_log": False}
        with serving(world.root / BUNDLES[0], store, **settings) as server:
            asked = asyncio.run(_asked(server.url, world, requests))
            httpx2.get(f"{server.url}/v1/users/{world.users[0]}", timeout=60.0)  # has all lists written down
        done.write_text(json.dumps(asked))
    asked = json.loads(done.read_text())
    answers = asked.pop("answers")
    runs = {"same processor": {}, "AVX2": AVX2}
    found = {name: _made_again(store, folder, name, answers, told) for name, told in runs.items()}
    shutil.rmtree(folder)
    return asked | {"made_again": found}


async def _asked(url: str, world: ReplayWorld, requests: int) -> dict[str, Any]:
    """Send all requests; the next bundle comes into service after each sixth of them."""
    left, counts, answers = iter(enumerate(bodies(world, requests))), Counter[str](), dict[str, list[str]]()
    await asyncio.gather(*(_ask(url, world, number, left, counts, answers, requests) for number in range(ASKERS)))
    return {"requests": requests, "counts": dict(counts), "answers": answers}


async def _ask(
    url: str,
    world: ReplayWorld,
    asker: int,
    left: Iterator[tuple[int, dict[str, Any]]],
    counts: Counter[str],
    answers: dict[str, list[str]],
    requests: int,
) -> None:
    """Take requests one after the other, with events, changes and reloads between them."""
    http, draw = Http(url), np.random.default_rng(asker)
    share = requests // len(BUNDLES)
    for place, (number, body) in enumerate(left):
        if number and number % share == 0 and number // share < len(BUNDLES):
            await _sent(http, counts, "reloads", "POST", "/v1/admin/reload", {"source": BUNDLES[number // share]})
        if place % CHANGE_EVERY == CHANGE_EVERY - 1:
            await _sent(http, counts, "changes of items", *change(world, draw))
        if place % EVENT_EVERY == EVENT_EVERY - 1:
            await _sent(http, counts, "events", "POST", "/v1/events", event(world, draw))
        answer = await _sent(http, counts, "lists", "POST", "/v1/recommendations", body)
        answers[answer["request_id"]] = [item["item_id"] for item in answer["items"]]
        counts[f"lists of {answer['model_version'].rpartition('-')[0]}"] += 1
        counts["lists with items that no bundle knows"] += any(item["source"] == "explore" for item in answer["items"])


async def _sent(http: Http, counts: Counter[str], what: str, method: str, path: str, body: object) -> Any:
    status, answer = await http.ask(method, path, body)
    if status != 200:
        raise UnavailableError(f"{method} {path}: {status}: {answer}")
    counts[what] += 1
    return answer


def _made_again(
    store: str, folder: Path, run: str, answers: dict[str, list[str]], told: dict[str, str]
) -> dict[str, Any]:
    """All lists, in processes of their own, as these take their loops when they start."""

    lists = list(answers.items())

    def piece(start: int) -> dict[str, Any]:
        kept, shown = folder / f"{run}.{start}.json", folder / f"{run}.{start}.shown.json"
        if not kept.is_file():
            shown.write_text(json.dumps(dict(lists[start : start + PIECE])))
            command = [sys.executable, "-m", "tests.benchmarks.ui_replay_again", store, str(bundles()), str(shown)]
            done = subprocess.run(command, env=os.environ | told, check=True, stdout=subprocess.PIPE, text=True)
            kept.write_text(done.stdout.splitlines()[-1])
        found: dict[str, Any] = json.loads(kept.read_text())
        return found

    with ThreadPoolExecutor(AT_ONCE) as threads:
        pieces = list(threads.map(piece, range(0, len(lists), PIECE)))
    return _together(pieces)


def _together(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    counts, reasons = Counter[str](), Counter[str]()
    for piece in pieces:
        counts.update(piece["counts"])
        reasons.update(piece["reasons"])
    n = sum(piece["lists"] for piece in pieces)
    return {
        "lists": n,
        "replay_identical": counts["identical"] / n,
        **{name: counts[name] for name in ("identical", "rounding_only", "different", "refused")},
        "recorded_otherwise": counts["recorded otherwise than answered"],
        "reasons": dict(reasons.most_common(EXAMPLES)),
        "examples": [example for piece in pieces for example in piece["examples"]][:EXAMPLES],
        "processor": pieces[0]["processor"],
        "cpu_ms_a_list": round(1e3 * sum(piece["cpu_seconds"] for piece in pieces) / n, 1),
    }
