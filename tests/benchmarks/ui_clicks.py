"""Somebody at the pages: opens one after the other over a kept connection, in a process of its own."""

import http.client
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks.service_processes import GENERATOR_CORE

PAGES = {
    "start": "/ui",
    "users": "/ui/users?find=u{digit}",
    "user": "/ui/users/u{number}",
    "user, played": "/ui/users/u{number}?add={item}&filter=is:genre:Drama&cap=8:genre&item={other}",
    "items": "/ui/items?find=river+{digit}",
    "item": "/ui/items/{item}",
    "item, edit": "/ui/items/{item}/edit",
    "catalogue": "/ui/catalogue",
    "catalogue, filtered": "/ui/catalogue?find=the+{digit}&filter=is:genre:Drama&sort=least&show=never",
    "compare, 40 users": "/ui/compare?set=regulars",
    "experiments": "/ui/experiments",
    "replay": "/ui/replay?request_id=shown.{number}",
    "quality": "/ui/quality",
    "quality of a model": "/ui/quality/films",
    "data": "/ui/data",
    "data of a dataset": "/ui/data/films",
    "images": "/ui/images",
    "deployments": "/ui/deployments",
    "versions": "/ui/deployments/versions",
    "operations": "/ui/operations?span=6h",
    "jobs": "/ui/jobs",
    "job's run": "/ui/jobs/films/20261123T040000Z",
}


def address(page: str, turn: int) -> str:
    """Of a page, with another user and item at each turn."""
    item = turn * 811 % 41_000
    return PAGES[page].format(number=turn % 256, digit=turn % 10, item=item, other=item * 7 % 41_000)


def visits(url: str, per_page: int, pause: float, until: float | None = None) -> dict[str, list[float]]:
    """Milliseconds of every page, each so many times, in turns; `until` is a time of the clock at which to stop.

    Raises:
        RuntimeError: a page was not there.
    """
    os.sched_setaffinity(0, {GENERATOR_CORE})
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)
    found: dict[str, list[float]] = {page: [] for page in PAGES}
    for turn in range(per_page):
        for page in PAGES:
            if until is not None and time.time() >= until:
                return found
            found[page].append(_opened(connection, address(page, turn)))
            time.sleep(pause)
    return found


def _opened(connection: http.client.HTTPConnection, path: str) -> float:
    began = time.perf_counter()
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
    except (http.client.RemoteDisconnected, ConnectionError):  # it was idle for too long
        connection.close()
        return _opened(connection, path)
    content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status}: {content[:300]!r}")
    return (time.perf_counter() - began) * 1e3


def costs(url: str, pid_seconds: Any, repeats: int) -> Mapping[str, float]:
    """Processor milliseconds of the server for one visit of each page, with nobody else there."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)
    found = {}
    for page in PAGES:
        _opened(connection, address(page, 1000))
        before = pid_seconds()
        for turn in range(repeats):
            _opened(connection, address(page, turn))
        found[page] = round((pid_seconds() - before) * 1e3 / repeats, 1)
    return found


def main() -> None:
    """Say that it begins, visit, and print the milliseconds; told: URL, visits, pause, seconds (0: no end)."""
    url, per_page, pause, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    print("begins", flush=True)
    print(json.dumps(visits(url, per_page, pause, time.time() + seconds if seconds else None)))


if __name__ == "__main__":
    main()
