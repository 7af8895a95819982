"""What the event store takes, batch after batch, beside readers: `python -m tests.benchmarks.service_floods`.

Twelve writers send 1,000 events at a time to two workers, each the next as soon as the last is answered, while one
reader asks for lists of stored users. `--store` measures PostgreSQL instead of a SQLite file; `--workers`, `--writers`
and `--size` change the flood. The last line is JSON: answers and refusals (503), events a second, milliseconds of reads
and writes.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

import httpx2
import numpy as np

from tests.benchmarks.service_worlds import build

USERS = 20_000
START_LINE = re.compile(r"http://[\d.]+:\d+")


@dataclass
class Tally:
    """What came of requests of one kind: answers, refusals, and how long each took."""

    answers: int = 0
    refused: int = 0
    seconds: list[float] = field(default_factory=list)

    def count(self, response: httpx2.Response, began: float) -> None:
        """Add one."""
        self.seconds.append(time.perf_counter() - began)
        if response.status_code == 503:
            self.refused += 1
        else:
            response.raise_for_status()
            self.answers += 1

    def milliseconds(self, percentile: float) -> float:
        """A percentile of the times."""
        return round(1000 * float(np.percentile(self.seconds, percentile)), 1)


def measure(store: str | None, workers: int, writers: int, size: int, seconds: float) -> dict[str, Any]:
    """The figures of one flood."""
    world = build("rec-vae", 1000, hidden=8, latent=8)
    stop, number = Event(), count()
    writes, reads = Tally(), Tally()
    with (
        TemporaryDirectory() as folder,
        _serving(world.bundle, store or f"sqlite:///{folder}/events.db", workers) as url,
        ThreadPoolExecutor(writers + 1) as threads,
    ):
        tasks = [threads.submit(_write, url, size, number, writes, stop) for _ in range(writers)]
        tasks.append(threads.submit(_read, url, reads, stop))
        began = time.perf_counter()
        stop.wait(seconds)
        stop.set()
        for task in tasks:
            task.result()
        lasted = time.perf_counter() - began
    return {
        "answers": writes.answers,
        "refused": writes.refused,
        "events_per_s": round(writes.answers * size / lasted),
        "write_ms": {"p50": writes.milliseconds(50), "p99": writes.milliseconds(99), "max": writes.milliseconds(100)},
        "reads": reads.answers,
        "reads_refused": reads.refused,
        "read_ms": {"p50": reads.milliseconds(50), "p99": reads.milliseconds(99)},
    }


@contextmanager
def _serving(bundle: Path, store: str, workers: int) -> Iterator[str]:
    command = [sys.executable, "-m", "pipelines.cli", "serve", str(bundle), "--store", store, "--port", "0"]
    command += ["--workers", str(workers), "--no-access-log", "--log-level", "error"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = START_LINE.search(process.stdout.readline())
            assert found is not None
            yield found.group()
        finally:
            process.terminate()


def _write(url: str, size: int, number: "count[int]", tally: Tally, stop: Event) -> None:
    with httpx2.Client(base_url=url, timeout=120.0) as http:
        while not stop.is_set():
            rows = [_row(place) for place in (next(number) for _ in range(size))]
            content = json.dumps({"events": rows})
            began = time.perf_counter()
            tally.count(http.post("/v1/events", content=content, headers={"Content-Type": "application/json"}), began)


def _row(place: int) -> dict[str, str]:
    return {"user_id": f"u{place * 7919 % USERS}", "item_id": f"i{place % 997}", "event_id": f"e{place}"}


def _read(url: str, tally: Tally, stop: Event) -> None:
    with httpx2.Client(base_url=url, timeout=120.0) as http:
        for place in count():
            if stop.wait(0.02):
                return
            began = time.perf_counter()
            tally.count(http.get(f"/v1/users/u{place * 7919 % USERS}/recommendations"), began)


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", help="URL of an empty event store; a SQLite file of its own when not given")
    for name, default in (("workers", 2), ("writers", 12), ("size", 1000), ("seconds", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    print(json.dumps(measure(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
