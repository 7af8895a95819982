"""Items that came after the bundle, in lists without a user, by their stored events."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import Tiers, write_bundle
from recsys_vae.bundles.item_lists import ItemLists, Windows
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.bundles.shelves import Shelves
from recsys_vae.data.ids import IdMap
from recsys_vae.data.signals import SignalRules
from recsys_vae.models.ease import EASE, EASEConfig
from service import timestamps
from service.app import create_app
from service.ranking import live_items
from service.settings import Settings
from service.store.events import NOT_SAID, Event, EventStore
from service.store.item_records import ItemChange
from service.store.items import ItemStore
from service.store.live_events import live_events
from service.store.user_history import UserEvents, liked_events
from tests.service.places import Place
from tests.service.test_metadata_of_users import SCHEMA, SEGMENTS
from tests.service.test_routes import item_ids
from tests.service.tiny import ITEMS, MATRIX, METADATA, POPULARITY, SHELVES

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = SignalRules(dislikes=("returned",), event_weights=(("view", 0.0), ("*", 1.0)))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """With segments: those in New Zealand touch b alone."""
    model, windows = EASE(8, EASEConfig()), SHELVES.lists.windows
    assert windows is not None
    model.fit(csr_array(MATRIX))
    own = np.zeros((SCHEMA.width, 8), np.float32)
    own[0, 1] = 4
    theirs = Windows(windows.ages, windows.recent, windows.baseline, csr_array(own), csr_array(0 * own))
    write_bundle(
        tmp_path / "bundle", model, IdMap.from_values(ITEMS), popularity=POPULARITY, item_table=METADATA,
        provenance=Provenance(dataset="tiny", trained_on="all"), tiers=Tiers(schema=SCHEMA, segments=SEGMENTS),
        shelves=Shelves(ItemLists(SHELVES.lists.rules, theirs), SHELVES.neighbours), signals=RULES,
    )  # fmt: skip
    return tmp_path / "bundle"


@pytest.fixture
def client(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """At noon of a day of March; what was counted is counted again for every answer."""
    monkeypatch.setattr(live_items, "COUNTED_FOR", 0.0)
    settings = Settings(bundle=bundle, store=f"sqlite:///{tmp_path}/events.db")
    with TestClient(create_app(settings, clock=lambda: timestamps.to_microseconds(NOW))) as client:
        for item, genre in (("hit", "comedy"), ("old", "drama"), ("quiet", "drama")):
            assert client.put(f"/v1/items/{item}", json={"fields": {"genre": genre}}).status_code < 300
        yield client


def buy(
    client: TestClient, item: str, n: int, *, days_ago: float = 0.1, kind: str = "purchase", first: int = 0
) -> None:
    at = (NOW - timedelta(days=days_ago)).isoformat()
    events = [
        {"user_id": f"n{number}", "item_id": item, "event_type": kind, "timestamp": at}
        for number in range(first, first + n)
    ]
    assert client.post("/v1/events", json={"events": events}).status_code < 300


def listed(client: TestClient, name: str, **body: Any) -> list[str]:
    return item_ids(client.post(f"/v1/lists/{name}", json={"k": 20, **body}).json())


def test_what_sells_today_trends_and_is_popular(client: TestClient) -> None:
    assert not {"hit", "old", "quiet"} & {
        item for name in ("popular", "recent", "trending") for item in listed(client, name)
    }
    buy(client, "hit", 500)
    buy(client, "old", 9, days_ago=20)
    for name in ("popular", "recent", "trending"):
        assert listed(client, name)[0] == "hit"
        assert item_ids(client.get(f"/v1/lists/{name}?k=1").json()) == ["hit"]
    assert "old" in listed(client, "popular")
    assert not {"old", "quiet"} & {*listed(client, "recent"), *listed(client, "trending")}
    assert "quiet" not in listed(client, "popular")
    rows = client.get("/v1/users/nobody/rows?k=2").json()["rows"]
    assert next(row for row in rows if row.get("name") == "trending")["items"][0]["item_id"] == "hit"


def test_they_stand_where_their_numbers_put_them(client: TestClient) -> None:
    buy(client, "hit", 3)  # users: as c has, fewer than b; events: 3 against 4 of a, b and g, 6 of h and 2 of c
    names = listed(client, "popular")
    assert names.index("b") < names.index("c") < names.index("hit") < names.index("g")  # of equal ones it comes last
    names = listed(client, "recent")
    assert names.index("h") < names.index("b") < names.index("hit") < names.index("c")


def test_filters_boosts_and_exclusions_hold_for_them(client: TestClient) -> None:
    buy(client, "hit", 50)
    buy(client, "quiet", 20)
    drama = {"op": "eq", "column": "genre", "value": "drama"}
    for name in ("popular", "recent", "trending"):
        kept = listed(client, name, filter=drama)
        assert kept[0] == "quiet"
        assert set(kept) <= {*"aceg", "quiet"}
        assert "hit" not in listed(client, name, exclude=["hit"])
        assert listed(client, name, boost=[{"by": "add", "value": 1000.0, "items": ["quiet"]}])[0] == "quiet"
    client.patch("/v1/items/hit", json={"hidden": True})
    client.delete("/v1/items/quiet")
    assert not {"hit", "quiet"} & {item for name in ("popular", "recent", "trending") for item in listed(client, name)}


@pytest.mark.parametrize("name", ["popular", "recent", "trending"])
def test_a_segment_thinks_of_them_as_everybody_does(client: TestClient, name: str) -> None:
    buy(client, "hit", 500)
    for country in ("NZ", "FR"):
        answer = client.post(f"/v1/lists/{name}", json={"k": 20, "metadata": {"country": country}}).json()
        assert answer["items"][0]["item_id"] == "hit"
        [score] = [item["score"] for item in answer["items"] if item["item_id"] == "hit"]
        everybody = client.get(f"/v1/lists/{name}?k=1").json()["items"][0]
        assert score == everybody["score"]


def test_what_says_nothing_for_an_item_does_not_count(client: TestClient) -> None:
    buy(client, "hit", 9, kind="view")
    buy(client, "hit", 9, kind="returned")
    assert not {"hit"} & {*listed(client, "popular"), *listed(client, "recent")}
    buy(client, "hit", 1, kind="purchase")
    assert "hit" in listed(client, "popular")


def test_who_is_erased_counts_no_more(client: TestClient) -> None:
    buy(client, "hit", 1)
    assert "hit" in listed(client, "popular")
    assert client.delete("/v1/users/n0").status_code < 300
    assert "hit" not in listed(client, "popular")


@pytest.mark.parametrize(
    "rules",
    [
        SignalRules(),
        RULES,
        SignalRules(event_weights=(("view", 0.0), ("purchase", 3.0), ("*", 0.0))),
        SignalRules(dislike_below=2.0),
        SignalRules(event_weights=(("*", 0.0), ("view", 1.0))),
        SignalRules(event_weights=(("view", 1.0),), dislike_below=2.0),
    ],
)
def test_every_store_counts_by_the_rules(place: Place, rules: SignalRules) -> None:
    store = EventStore(place.url)
    kinds = ("view", "purchase", "returned", None)
    told = [(kind, weight) for kind in kinds for weight in (1.0, 3.0, -1.0, NOT_SAID)]
    at = timestamps.to_microseconds(NOW)
    events = [
        Event(f"{n}", f"u{n % 5}", "x", kind, weight, at if n % 2 else None) for n, (kind, weight) in enumerate(told)
    ]
    store.take(events, "tests")
    assert live_events(store.database, rules).users == {}  # nothing was changed about x
    ItemStore(store.database).take([ItemChange("x", fields={"price": 1})])
    speaking = [
        n
        for n, (kind, weight) in enumerate(told)
        if liked_events(UserEvents(("x",), (kind,), (None if weight == NOT_SAID else weight,), (at,), (False,)), rules)[
            0
        ]
    ]
    found = live_events(store.database, rules)
    assert found.n_users(["x", "y"]).tolist() == [len({n % 5 for n in speaking}), 0]
    assert found.between(["x"], at - 1).tolist() == [sum(n % 2 for n in speaking)]
    assert found.between(["x"], at + 10**11).tolist() == [0]
    store.close()
