"""Crash safety: the service is killed, over and over, while clients stream events at it."""

import json
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import count
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import select

from service.store.tables import EVENTS
from tests.prepared import waiting
from tests.service.places import KINDS, Place, place_of
from tests.service.test_serve import environment

STREAMS = 3


@contextmanager
def service(place: Place, bundle: Path, home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A real server, and its address; killed at the end."""
    command = [*waiting().command(), "serve", str(bundle), "--port", "0", "--store", place.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(home)) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            yield process, first.split()[-1]
        finally:
            process.kill()


@dataclass
class Stream:
    """A client that sends events, one request after the other, and again what was not acknowledged."""

    name: str
    numbers: Iterator[int] = field(default_factory=count)
    acknowledged: set[str] = field(default_factory=set)
    open_batch: list[str] = field(default_factory=list)

    def run(self, url: str, stop: Signal) -> None:
        """Send until told to stop, or until the service answers no more."""
        while not stop.is_set():
            if not self.open_batch:
                self.open_batch = [f"{self.name}-{next(self.numbers)}" for _ in range(random.randint(1, 20))]
            try:
                self._send(url)
            except (OSError, HTTPException):  # killed before, or in the middle of its answer
                return

    def _send(self, url: str) -> None:
        rows = [{"user_id": f"u-{item[-1]}", "item_id": item, "event_id": item} for item in self.open_batch]
        body = json.dumps({"events": rows}).encode()
        request = Request(f"{url}/v1/events", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=30) as response:
            receipt = json.load(response)
        assert receipt["rejected"] == 0
        self.acknowledged |= set(self.open_batch)
        self.open_batch = []


def stream_until_killed(streams: list[Stream], process: subprocess.Popen[str], url: str, seconds: float) -> None:
    stop = Signal()
    threads = [Thread(target=stream.run, args=(url, stop)) for stream in streams]
    before = sum(len(stream.acknowledged) for stream in streams)
    for thread in threads:
        thread.start()
    while sum(len(stream.acknowledged) for stream in streams) < before + 20:
        assert any(thread.is_alive() for thread in threads), "the service answers nobody"
        time.sleep(0.01)
    time.sleep(seconds)
    process.kill()
    for thread in threads:
        thread.join()


def check_killed(place: Place, bundle: Path, home: Path, kills: int) -> None:
    streams = [Stream(f"s{number}") for number in range(STREAMS)]
    draw = random.Random(7)
    for _ in range(kills):
        with service(place, bundle, home) as (process, url):
            stream_until_killed(streams, process, url, draw.uniform(0, 0.5))
    with closing(place.open()) as store:
        with store.database.reading() as connection:
            held = connection.execute(select(EVENTS.c.item_id)).scalars().all()
        acknowledged = set().union(*(stream.acknowledged for stream in streams))
        possible = acknowledged.union(*(stream.open_batch for stream in streams))
        assert len(held) == len(set(held))
        assert acknowledged <= set(held) <= possible
        assert len(acknowledged) >= 20 * kills
        # The versions too: what is held is what a user's next answer goes by.
        assert sum(len(store.history(f"u-{digit}").history) for digit in range(10)) == len(held)
        assert all(store.version(f"u-{digit}") for digit in range(10))
    for stream in streams:
        assert stream.acknowledged


def test_a_killed_service_has_every_acknowledged_event_once(bundle_path: Path, tmp_path: Path) -> None:
    with place_of("sqlite", tmp_path) as place:
        check_killed(place, bundle_path, tmp_path / "home", kills=2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_service_killed_twenty_times_has_every_acknowledged_event_once(
    kind: str, bundle_path: Path, tmp_path: Path
) -> None:
    with place_of(kind, tmp_path) as place:
        check_killed(place, bundle_path, tmp_path / "home", kills=20)
