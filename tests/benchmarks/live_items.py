"""Items that change under full load: `python -m tests.benchmarks.live_items`.

Two workers answer as fast as they can while 10,000 changes a minute are sent, one after the other on several
connections. After each acknowledgement a connection that may lead to either worker asks for that item: the answer must
have the new price, or be without the item where it was hidden. Then one worker takes changes as fast as it can, which
tells what a change costs. Then one worker answers from a store with 100,000 items that something was changed about,
beside one without, in turns. `--store` names an empty PostgreSQL database instead of files of SQLite; `--seconds` the
length of the first part, `--rounds` the turns of the last. The last line is JSON.
"""

import argparse
import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from recsys_vae.errors import UnavailableError
from service.store.database import Database
from service.store.item_records import FieldValue, ItemChange
from service.store.items import ItemStore
from tests.benchmarks.service_floods import _serving
from tests.benchmarks.service_load import Load
from tests.benchmarks.service_processes import serving, take_other_core
from tests.benchmarks.service_worlds import GOWALLA_ITEMS, World, build

CHANGES_A_MINUTE = 10_000
LIVE = 100_000
WRITERS = 32
CONNECTIONS = 64
BATCH = 5_000


@dataclass
class Tally:
    """What came of changes: acknowledged, and of these in the next answer or not."""

    acknowledged: int = 0
    lost: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


class Http:
    """One kept connection, one request at a time."""

    def __init__(self, url: str) -> None:
        self._place = urlsplit(url)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: object) -> tuple[int, Any]:
        """Status and JSON of an answer; asked again where the connection was idle for so long that it was closed."""
        try:
            return await self._ask(method, path, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            self._streams = None
            return await self._ask(method, path, body)

    async def _ask(self, method: str, path: str, body: object) -> tuple[int, Any]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._place.hostname, self._place.port)
        reader, writer = self._streams
        content = json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._place.netloc}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        answered = (await reader.readuntil(b"\r\n\r\n")).lower()
        place = answered.index(b"content-length:") + 15
        length = int(answered[place:].split(b"\r\n", 1)[0])
        return int(answered[9:12]), json.loads(await reader.readexactly(length))


def measure_changes(store: str | None, seconds: float) -> dict[str, Any]:
    """Changes under full load, and whether each is in the next answer."""
    world = build("rec-vae", GOWALLA_ITEMS)
    with TemporaryDirectory() as folder, _serving(world.bundle, store or f"sqlite:///{folder}/events.db", 2) as url:
        place = urlsplit(url)
        load = Load(str(place.hostname), int(place.port or 0), _requests(world, place.netloc), connections=CONNECTIONS)
        context = get_context("spawn")
        results = context.SimpleQueue()
        writer = context.Process(target=_change_in_turns, args=(url, seconds, results))
        writer.start()
        outcome = asyncio.run(load.closed_loop(seconds))
        tally = results.get()
        writer.join()
    return {
        "seconds": seconds,
        "item_changes_acknowledged": tally.acknowledged,
        "item_changes_a_minute": round(60 * tally.acknowledged / seconds),
        "item_changes_lost": tally.lost,
        "change_statuses": dict(tally.statuses),
        "answers_per_second": round(outcome.rate(), 1),
        "answer_statuses": outcome.statuses(),
    }


def measure_cost(seconds: float) -> dict[str, Any]:
    """Processor time of a change: one worker that is asked for nothing else."""
    world = build("rec-vae", GOWALLA_ITEMS)
    with (
        TemporaryDirectory() as folder,
        serving(world.bundle, f"sqlite:///{folder}/events.db", access_log=False) as server,
    ):
        asyncio.run(_only_changed(server.url, 1.0))
        began = server.cpu_seconds()
        changes = asyncio.run(_only_changed(server.url, seconds))
        return {"ms_per_change": round(1e3 * (server.cpu_seconds() - began) / changes, 3)}


async def _only_changed(url: str, seconds: float) -> int:
    """Change items on several connections as fast as that is acknowledged; how many."""

    async def write(number: int) -> int:
        draw, own, changes = random.Random(number), Http(url), 0
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            item_id, change = str(draw.randrange(number, GOWALLA_ITEMS, WRITERS)), {"fields": {"price": draw.random()}}
            status, answer = await own.ask("PATCH", f"/v1/items/{item_id}", change)
            if status != 200:
                raise UnavailableError(f"{status}: {answer}")
            changes += 1
        return changes

    return sum(await asyncio.gather(*(write(number) for number in range(WRITERS))))


def measure_rates(rounds: int, seconds: float) -> dict[str, Any]:
    """Highest rate with as many changed items as `LIVE`, beside none."""
    take_other_core()
    world = build("rec-vae", LIVE, hidden=64, latent=128)
    rates: dict[str, list[float]] = {"none": [], "live": []}
    with TemporaryDirectory() as folder:
        stores = {name: f"sqlite:///{folder}/{name}.db" for name in rates}
        fill(stores["live"])
        with serving(world.bundle, stores["none"]) as none, serving(world.bundle, stores["live"]) as live:
            for turn in range(rounds + 1):
                for name, server in (("none", none), ("live", live)):
                    requests = _requests(world, f"{server.host}:{server.port}")
                    load = Load(server.host, server.port, requests, connections=CONNECTIONS)
                    began = server.cpu_seconds()
                    outcome = asyncio.run(load.closed_loop(seconds if turn else 2.0))
                    assert set(outcome.statuses()) == {"200"}, outcome.statuses()
                    if turn:  # CPU time, as other work may share the core
                        rates[name].append(len(outcome.samples) / (server.cpu_seconds() - began))
    ratios = [live / none for live, none in zip(rates["live"], rates["none"], strict=True)]
    return {
        "live_items": LIVE,
        "answers_per_cpu_second": {name: round(median(found), 1) for name, found in rates.items()},
        "live_rate_share": round(median(ratios), 4),
    }


def fill(store: str) -> None:
    """Change every item; one in a hundred is hidden."""
    with closing(Database(store)) as database:
        items = ItemStore(database)
        for start in range(0, LIVE, BATCH):
            items.take([_change(number) for number in range(start, start + BATCH)])


def _change(number: int) -> ItemChange:
    fields: dict[str, FieldValue | None] = {"price": number / 100, "stock": number % 50, "title": f"Item {number}"}
    return ItemChange(str(number), fields=fields, hidden=number % 100 == 0)


def _change_in_turns(url: str, seconds: float, results: Any) -> None:
    results.put(asyncio.run(_changed(url, seconds)))


async def _changed(url: str, seconds: float) -> Tally:
    tally = Tally()
    interval = WRITERS * 60 / CHANGES_A_MINUTE
    await asyncio.gather(*(_write(url, number, interval, seconds, tally) for number in range(WRITERS)))
    return tally


async def _write(url: str, number: int, interval: float, seconds: float, tally: Tally) -> None:
    """Change an item, look for the change in an answer, and so on; behind schedule, without a pause."""
    draw, loop = random.Random(number), asyncio.get_running_loop()
    own, others = Http(url), [Http(url) for _ in range(4)]
    due, end = loop.time() + interval * number / WRITERS, loop.time() + seconds
    while due < end and loop.time() < end:
        await asyncio.sleep(max(0.0, due - loop.time()))
        due += interval
        item_id, price, hides = str(draw.randrange(number, GOWALLA_ITEMS, WRITERS)), draw.random(), draw.random() < 0.1
        change = {"fields": {"price": price}, "hidden": hides}
        status, _ = await own.ask("PATCH", f"/v1/items/{item_id}", change)
        tally.statuses[status] += 1
        if status == 200:
            tally.acknowledged += 1
            tally.lost += not await _is_seen(draw.choice(others), item_id, price, hides=hides)


async def _is_seen(http: Http, item_id: str, price: float, *, hides: bool) -> bool:
    by_price = {"op": "range", "column": "price", "min": price, "max": price}
    asked = {"k": 1, "candidates": [item_id], "filter": by_price, "fields": ["price"]}
    status, answer = 503, dict[str, Any]()
    while status == 503:  # it was not answered; the next answer is what counts
        status, answer = await http.ask("POST", "/v1/recommendations", asked)
    if status != 200:
        raise UnavailableError(f"{status}: {answer}")
    found = [(item["item_id"], item["fields"]["price"]) for item in answer["items"]]
    return bool(found == ([] if hides else [(item_id, price)]))


def _requests(world: World, host: str) -> Sequence[bytes]:
    head = f"POST /v1/recommendations HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in world.bodies()]


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", help="URL of an empty event store of the first part; a file when not given")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--to", type=Path, help="file for the figures")
    chosen = parser.parse_args()
    figures = measure_changes(chosen.store, chosen.seconds) | measure_cost(10.0) | measure_rates(chosen.rounds, 10.0)
    if chosen.to:
        chosen.to.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
