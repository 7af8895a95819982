"""What users dislike, repeat, and in which order, from events to lists."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.signals import SignalRules
from recsys_vae.recommender import FallbackChain, Users
from service.app import create_app
from service.jobs.event_export import export_events
from service.ranking.ranking import answer
from service.ranking.results import Query
from service.ranking.served_model import Catalogue
from service.settings import Settings
from service.store.events import Event, EventStore
from tests.service.tiny import HISTORIES, only

POST = "/v1/recommendations"
RULES = SignalRules(dislikes=("return",), dislike_below=2.5)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With time for every request."""
    return settings.model_copy(update={"deadline_ms": 60_000.0})


@pytest.fixture
def client(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A service whose bundle has rules."""
    monkeypatch.setattr(Bundle, "signals", RULES, raising=False)
    with TestClient(create_app(settings)) as client:
        yield client


def send(client: TestClient, user_id: str, item_id: str, weight: float, event_type: str | None = None) -> None:
    event = {"user_id": user_id, "item_id": item_id, "weight": weight, "event_type": event_type}
    assert client.post("/v1/events", json={"events": [event]}).json()["accepted"] == 1


def listed(client: TestClient, **asked: object) -> list[str]:
    response = client.post(POST, json={"k": 8, **asked})
    assert response.status_code == 200, response.text
    return sorted(item["item_id"] for item in response.json()["items"])


def test_a_dislike_is_out_of_the_next_list_and_no_history_until_it_is_liked(client: TestClient) -> None:
    send(client, "new", "a", 5.0)
    assert listed(client, user_id="new") == list("bcdefgh")
    send(client, "new", "d", 1.0)
    send(client, "new", "a", 5.0, "return")
    for repeat in ("exclude", "allow"):
        assert listed(client, user_id="new", repeat=repeat) == list("bcefgh")
    assert listed(client, user_id="new", repeat="only") == []
    assert client.post(POST, json={"user_id": "new", "k": 3}).json()["tier"] == "popular"
    send(client, "new", "d", 4.0)
    assert listed(client, user_id="new", repeat="only") == ["d"]
    assert client.post(POST, json={"user_id": "new", "k": 3}).json()["tier"] == "history"
    kept = client.get("/v1/users/new").json()["history"]
    assert [(one["item_id"], one["weight"], one["event_type"]) for one in kept] == [
        ("d", 4.0, None), ("a", 5.0, "return"), ("d", 1.0, None), ("a", 5.0, None),
    ]  # fmt: skip


def test_an_event_without_a_weight_is_below_no_bound(client: TestClient, settings: Settings, tmp_path: Path) -> None:
    rows = [{"user_id": "new", "item_id": "a"}, {"user_id": "new", "item_id": "b", "event_type": "return"}]
    sent = [row | {"event_id": row["item_id"]} for row in rows]
    assert client.post("/v1/events", json={"events": sent}).json()["accepted"] == 2
    assert client.post("/v1/events", json={"events": sent}).json()["duplicates"] == 2
    assert listed(client, user_id="new", repeat="only") == ["a"]
    assert [one["weight"] for one in client.get("/v1/users/new").json()["history"]] == [None, None]
    store = EventStore(settings.store_url)
    export_events(store, tmp_path / "log.parquet", source="api")
    store.close()
    assert pl.read_parquet(tmp_path / "log.parquet")["weight"].to_list() == [None, None]


def test_an_event_sent_before_unsaid_weights_were_kept_is_no_other(client: TestClient, settings: Settings) -> None:
    store = EventStore(settings.store_url)
    store.take([Event("early", "new", "a", None, 1.0, 0)], "api")
    store.close()
    again = {"user_id": "new", "item_id": "a", "event_id": "early"}
    assert client.post("/v1/events", json={"events": [again]}).json()["duplicates"] == 1


def test_kinds_that_no_bundle_weighs_are_named_and_say_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bundle, "signals", SignalRules(("return",), None, (("view", 1.0),)), raising=False)
    kinds = {"a": "view", "b": "veiw", "c": "return", "d": None}
    events = [{"user_id": "new", "item_id": item, "event_type": kind} for item, kind in kinds.items()]
    with TestClient(create_app(settings)) as client:
        told = client.post("/v1/events", json={"events": events}).json()
        assert (told["accepted"], told["kinds_without_weight"]) == (4, ["veiw"])
        assert listed(client, user_id="new", repeat="only") == ["a", "d"]
        assert listed(client, user_id="new") == list("befgh")


def test_a_request_tells_of_dislikes_as_events_do(client: TestClient) -> None:
    history = ["a", {"item_id": "b", "event_type": "return"}, {"item_id": "c", "weight": 2.0}, {"item_id": "d"}]
    assert listed(client, history=history, repeat="allow") == list("adefgh")
    assert listed(client, history=history, repeat="only") == ["a", "d"]
    assert listed(client, history=history) == list("efgh")
    for item_id in "ab":
        send(client, "new", item_id, 3.0)
    assert listed(client, user_id="new", history=[{"item_id": "a", "event_type": "return"}], repeat="only") == ["b"]
    assert listed(client, user_id="u0", repeat="only") == []  # whose events all have the value 1


def test_without_rules_nothing_that_was_sent_is_a_dislike(settings: Settings) -> None:
    with TestClient(create_app(settings)) as client:
        send(client, "new", "a", 1.0, "return")
        assert listed(client, user_id="new", repeat="only") == ["a"]


def test_what_a_dataset_says_against_an_item_counts_without_rules_and_is_kept(
    settings: Settings, tmp_path: Path
) -> None:
    store = EventStore(settings.store_url)
    store.append([[Event("1", "u0", "d", None, -2.0, None)]], "dataset:tiny")
    store.close()
    with TestClient(create_app(settings)) as client:
        assert listed(client, user_id="u0", repeat="allow") == list("abcefgh")
        assert client.get("/v1/users/u0").json()["history"][0]["weight"] == -2.0
    store = EventStore(settings.store_url)
    assert export_events(store, tmp_path / "log.parquet", source="dataset:tiny").events == 1
    store.close()
    assert pl.read_parquet(tmp_path / "log.parquet")["weight"].to_list() == [-2.0]


def test_explanations_name_nothing_that_is_disliked(client: TestClient) -> None:
    history = ["a", "b", {"item_id": "g", "event_type": "return"}]
    items = client.post(POST, json={"k": 8, "history": history, "explain": True}).json()["items"]
    assert {cause["item_id"] for item in items for cause in item["because"]} == {"a", "b"}


def test_pages_of_dislikes_neither_repeat_nor_skip(client: TestClient) -> None:
    send(client, "new", "a", 5.0)
    send(client, "new", "h", 1.0)
    page = client.post(POST, json={"user_id": "new", "k": 2}).json()
    send(client, "new", "c", 1.0)  # afterwards
    found = [item["item_id"] for item in page["items"]]
    while page["next_cursor"]:
        page = client.post(POST, json={"user_id": "new", "k": 2, "cursor": page["next_cursor"]}).json()
        found += [item["item_id"] for item in page["items"]]
    assert sorted(found) == list("bcdefg")


@pytest.mark.parametrize(("repeat", "expected"), [("exclude", "defgh"), ("allow", "abcdefgh"), ("only", "abc")])
@pytest.mark.parametrize("extra", [{}, {"at_most": [{"column": "genre", "n": 8}]}, {"diversity": 0.3}])
def test_repeats_as_asked_for(any_chain: FallbackChain, settings: Settings, repeat: str, expected: str, extra) -> None:
    assert HISTORIES["u0"] == ("a", "b", "c")
    with TestClient(create_app(settings, only(any_chain))) as client:
        for asked in ({"user_id": "u0"}, {"history": ["a", "b", "c"]}, {"user_id": "u0", "history": ["b"]}):
            assert listed(client, repeat=repeat, **asked, **extra) == list(expected)
        assert listed(client, repeat=repeat, history=["a", "b", "c"], exclude=["c", "d"], **extra) == sorted(
            set(expected) - {"c", "d"}
        )


def test_only_repeats_stop_where_the_history_ends(client: TestClient) -> None:
    found = client.post(POST, json={"history": ["a", "b"], "k": 1, "repeat": "only"}).json()
    rest = client.post(POST, json={"history": ["a", "b"], "k": 5, "repeat": "only", "cursor": found["next_cursor"]})
    assert len(rest.json()["items"]) == 1
    assert rest.json()["next_cursor"] is None
    told = client.post(POST, json={"k": 3, "repeat": "only"}).json()["warnings"]
    assert [one["code"] for one in told] == ["nothing_to_repeat", "fewer_items_than_k"]


@pytest.mark.parametrize("body", [{"repeat": "only", "seen": "allow"}, {"repeat": "allow", "seen": "exclude"}])
def test_repeat_and_its_older_name_say_one_thing(client: TestClient, body: dict) -> None:
    response = client.post(POST, json=body)
    assert response.status_code == 422
    assert "send repeat alone" in response.text
    assert listed(client, history=["a"], repeat="allow", seen="allow") == list("abcdefgh")


class Told(FallbackChain):
    """Notes what it is shown."""

    def encode(self, histories: csr_array, metadata=None, order: csr_array | None = None, **options) -> Users:
        self.histories, self.order = histories, order
        return super().encode(histories, metadata, order, **options)


@pytest.mark.parametrize("by_order", [True, False])
def test_a_model_that_goes_by_order_is_told_the_places_of_what_is_liked(chain: FallbackChain, by_order: bool) -> None:
    told = Told(chain.bundle)
    catalogue = Catalogue(told)
    catalogue.by_order = by_order
    answer(catalogue, Query(3, {"c": 2.0, "zzz": 1.0, "d": -1.0, "a": 1.0}))
    assert told.histories.toarray().tolist() == [[1, 0, 2, -1, 0, 0, 0, 0]]
    if not by_order:
        assert told.order is None
        return
    assert told.order is not None
    assert told.order.indices.tolist() == [0, 2]
    assert np.argsort(told.order.data).tolist() == [1, 0]
