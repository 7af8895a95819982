"""Events through kills: a worker is ended by SIGKILL again and again while it takes events.

An event that was acknowledged must be in the user's record afterwards, once. One whose answer did not come may be there
or not: it is sent again under the same id, as a client would, and must then be there once too.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx2

from recsys_vae.errors import UnavailableError
from tests.benchmarks.service_processes import Server, serving
from tests.benchmarks.service_worlds import build

if TYPE_CHECKING:
    from tests.benchmarks.service_runs import Times

KILLS = 20
KILLS_WHEN_SHORT = 2
USER = "killed"
PAGE = 1000


def measure_kills(times: "Times") -> dict[str, Any]:
    """Events acknowledged, and how many of them are missing or doubled, after kills at random moments."""
    world = build("rec-vae", 1000, hidden=8, latent=8)
    kills = KILLS if times.rounds > 1 else KILLS_WHEN_SHORT
    acknowledged: list[str] = []
    unsure: list[str] = []
    draw = random.Random(0)
    with TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/events.db"
        for _ in range(kills):
            with serving(world.bundle, store) as server:
                if not _takes_events(server):
                    raise UnavailableError("This needs POST /v1/events, and the service has none.")
                _send_until_killed(server, draw.uniform(0.2, 1.5), acknowledged, unsure)
        with serving(world.bundle, store) as server:
            again = [event for event in unsure if _send(server, event)]
            held = Counter(_held(server))
    expected = set(acknowledged) | set(again)
    return {
        "kills": kills,
        "acknowledged": len(acknowledged),
        "sent_again": len(again),
        "lost": sum(held[event] == 0 for event in expected),
        "doubled": sum(count > 1 for count in held.values()),
    }


def _takes_events(server: Server) -> bool:
    return "/v1/events" in httpx2.get(f"{server.url}/openapi.json").json()["paths"]


def _send_until_killed(server: Server, seconds: float, acknowledged: list[str], unsure: list[str]) -> None:
    """Send one event after the other; after `seconds` the worker gets SIGKILL."""
    killer = threading.Timer(seconds, os.kill, (server.pid, signal.SIGKILL))
    killer.start()
    while True:
        event = uuid4().hex
        try:
            (acknowledged if _send(server, event) else unsure).append(event)
        except httpx2.TransportError:
            unsure.append(event)
            break
    killer.join()
    time.sleep(0.05)


def _send(server: Server, event: str) -> bool:
    """Whether it was acknowledged. The event is an item of its own, so that the user's record shows it."""
    row = {"user_id": USER, "item_id": event, "event_id": event}
    answer = httpx2.post(f"{server.url}/v1/events", json={"events": [row]}, timeout=10.0)
    return answer.is_success and answer.json()["rejected"] == 0


def _held(server: Server) -> list[str]:
    """Item ids of all of the user's events."""
    found: list[str] = []
    before = None
    while True:
        params = {"limit": PAGE} | ({} if before is None else {"before": before})
        page = httpx2.get(f"{server.url}/v1/users/{USER}", params=params).json()
        found += [event["item_id"] for event in page["history"]]
        before = page["next_before"]
        if before is None:
            return found
