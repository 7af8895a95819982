"""Items that change in the middle of a computation: each list is of one state of them, and made again from it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.ranking import mmr, query_resolution, ranking, reordering
from service.store.item_records import ItemChange
from tests.service.places import Place
from tests.service.test_replay import BODIES, POST, again, settings_of
from tests.service.tiny import ITEMS, USERS, fill, write_tiny_bundle

ASKED = (
    *BODIES,
    {"calibration": {"column": "genre", "strength": 0.5}, "history": ["b", "d", "f"]},
    {"boost": [{"by": "add", "value": 2.0, "where": {"op": "eq", "column": "genre", "value": "comedy"}}]},
    {"quotas": [{"n": 2, "where": {"op": "range", "column": "price", "max": 5}}]},
)
STAGES = (
    (query_resolution, "_hidden"), (query_resolution, "_allowed"), (query_resolution, "_boosted"),
    (query_resolution, "_members"), (query_resolution, "arrivals"), (FallbackChain, "encode"),
    (FallbackChain, "search"), (ranking, "selected"), (reordering, "_ordered"), (ranking, "_guests"),
    (ranking, "shortened"), (ranking, "ranked"),
)  # fmt: skip
"""Functions that run one after the other while a list is made: something is changed before each."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("ease", "mult-vae"):
        write_tiny_bundle(tmp_path / name, name)
    return tmp_path


class Meanwhile:
    """Changes an item whenever it is called, and has everything know it, from a thread of its own."""

    def __init__(self, client: TestClient, seed: int) -> None:
        services: Any = client.app_state["services"]
        self._services, self._random, self._late = services, np.random.default_rng(seed), list[Thread]()
        self.n_changes = 0
        self.is_on = True

    def __call__(self) -> None:
        if not self.is_on:
            return
        thread = Thread(target=self._change)
        thread.start()
        thread.join(0.02)  # where an answer reads what it goes by, nothing is changed before it has
        self._late.append(thread)
        self.n_changes += 1

    def end(self) -> None:
        """Wait for what was begun."""
        self.is_on = False
        for thread in self._late:
            thread.join()

    def _change(self) -> None:
        random, genres = self._random, ["drama", "comedy"]
        fields = {"genre": str(random.choice(genres)), "price": float(random.integers(9))}
        change = ItemChange(str(random.choice([*ITEMS, "n1", "n2"])), fields=fields, hidden=bool(random.random() < 0.2))
        self._services.item_store.take([change])
        self._services.items.settle(self._services.deployments.variant_set.catalogues.values())


def before(function: Callable[..., Any], do: Callable[[], None]) -> Callable[..., Any]:
    def both(*arguments: Any, **named: Any) -> Any:
        do()
        return function(*arguments, **named)

    return both


@pytest.fixture
def start(root: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TestClient]]:
    fill(place.url)
    monkeypatch.setattr(mmr, "PART", 1)
    monkeypatch.setattr(reordering, "PART", 1)
    clients: list[TestClient] = []

    def started(**more: object) -> TestClient:
        client = TestClient(create_app(settings_of(root, place.url, explore_share=0.3, **more)))
        clients.append(client)
        client.__enter__()
        client.patch("/v1/items/a", json={"fields": {"price": 3.0}})
        client.patch("/v1/items/n1", json={"fields": {"genre": "drama"}})
        client.post(POST, json={"user_id": "u0"})
        client.get("/v1/users/u0")  # writes the first list down: from then on it is kept what items were
        return client

    yield started
    for client in clients:
        client.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("place", "models"),
    [("sqlite", ("ease",)), ("postgresql", ("ease",)), ("sqlite", ("ease", "mult-vae"))],
    indirect=["place"],
)
def test_lists_of_items_that_change_between_all_stages_are_made_again(
    root: Path, place: Place, start: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch, models: tuple[str, ...]
) -> None:
    more = {"variant": tuple(f"{name}=1:{root / name}" for name in models)}
    client = start(**more, **({"interleave": models} if len(models) > 1 else {}))
    meanwhile, asked = Meanwhile(client, len(models)), []
    for module, name in STAGES:
        monkeypatch.setattr(module, name, before(getattr(module, name), meanwhile))
    for step in range(2 * len(ASKED)):
        body = {"k": 3 + step % 4, "user_id": USERS[step % len(USERS)], **ASKED[step % len(ASKED)]}
        answer = client.post(POST, json=body, headers={"X-Request-ID": f"r{step}"})
        assert answer.status_code == 200, answer.text
        asked.append(answer.json())
    meanwhile.end()
    client.get("/v1/users/u0")
    assert meanwhile.n_changes > 6 * len(asked)
    found = [one for answer in asked for one in again(place.url, root, answer["request_id"])]
    assert [one.shown for one in found] == [tuple(item["item_id"] for item in one["items"]) for one in asked]
    assert [(one.request_id, one.shown, one.rebuilt) for one in found if not one.is_identical] == []
