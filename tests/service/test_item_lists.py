"""Lists, similar items, what is bought together and rows, over HTTP."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from recsys_vae.errors import ConfigError
from service.app import create_app
from service.client.client import Client
from service.schemas.item_lists import ItemsRequest, ListRequest, RowsRequest
from service.security.api_keys import entry_of, new_key
from service.settings import Settings
from tests.service.test_routes import check_problem, codes, item_ids
from tests.service.tiny import HISTORIES

LISTS = ("popular", "recent", "trending", "new")
BESIDE = ("/v1/items/a/similar", "/v1/items/a/bought-together")


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_its_first_items_and_no_columns_that_nobody_asked_for(client: TestClient, name: str) -> None:
    body = client.get(f"/v1/lists/{name}?k=2").json()
    assert (body["name"], len(body["items"]), body["warnings"]) == (name, 2, [])
    assert body["items"][0].keys() == {"rank", "item_id", "score"}
    told = client.get(f"/v1/lists/{name}?k=1&fields=year").json()["items"][0]["fields"]
    assert told.keys() == {"year"}


@pytest.mark.parametrize("address", [*(f"/v1/lists/{name}" for name in LISTS), *BESIDE])
def test_filters_boosts_and_caps_come_with_a_body(client: TestClient, address: str) -> None:
    drama = {"op": "eq", "column": "genre", "value": "drama"}
    kept = item_ids(client.post(address, json={"filter": drama}).json())
    assert set(kept) <= set("aceg")
    first = client.get(f"{address}?k=1").json()["items"][0]["item_id"]
    assert first not in item_ids(client.post(address, json={"exclude": [first]}).json())
    whole = item_ids(client.get(address).json())
    pushed = {"boost": [{"by": "add", "value": 1000.0, "items": [whole[-1]]}], "k": 1}
    assert item_ids(client.post(address, json=pushed).json()) == whole[-1:]
    capped = client.post(address, json={"at_most": [{"column": "genre", "n": 1}], "fields": ["genre"]}).json()
    genres = [item["fields"]["genre"] for item in capped["items"]]
    assert len(set(genres)) == len(genres)
    for field in ("filter", "boost.0.where"):
        wrong = {"op": "eq", "column": "nope", "value": 1}
        body = {"filter": wrong} if field == "filter" else {"boost": [{"by": "add", "value": 1, "where": wrong}]}
        problem = check_problem(client.post(address, json=body), 422, "invalid-request")
        assert problem["errors"][0]["field"] == f"body.{field}"


@pytest.mark.parametrize("address", BESIDE)
def test_what_is_beside_an_item(client: TestClient, address: str) -> None:
    body = client.get(f"{address}?k=2").json()
    assert body["item_id"] == "a"
    assert body["items"][0].keys() == {"rank", "item_id", "score"}
    check_problem(client.get(address.replace("/a/", "/nope/")), 404, "unknown-item")
    problem = check_problem(client.get(f"{address}?fields=nope"), 422, "invalid-request")
    assert problem["errors"][0]["field"] == "query.fields.0"


def test_lists_that_there_are_not(client: TestClient) -> None:
    check_problem(client.get("/v1/lists/nope"), 422, "invalid-request")
    check_problem(client.get("/v1/lists/popular?k=0"), 422, "invalid-request")
    assert codes(client.post("/v1/lists/popular", json={"metadata": {"country": "NZ"}, "k": 2}).json()) == [
        "metadata_not_used"
    ]


def test_what_is_hidden_or_deleted_is_in_no_list(client: TestClient) -> None:
    client.patch("/v1/items/h", json={"hidden": True})
    client.delete("/v1/items/g")
    for address in (*(f"/v1/lists/{name}" for name in LISTS), *BESIDE):
        assert not {"g", "h"} & set(item_ids(client.get(address).json()))
    rows = client.get("/v1/users/u5/rows").json()["rows"]
    assert not {"g", "h"} & {item["item_id"] for row in rows for item in row["items"]}
    assert not {"g", "h"} & {row.get("name") for row in rows}
    check_problem(client.get("/v1/items/g/bought-together"), 404, "unknown-item")


@pytest.mark.parametrize("user", [*HISTORIES, "nobody"])
def test_rows_have_no_item_twice_and_none_of_the_history(client: TestClient, user: str) -> None:
    body = client.get(f"/v1/users/{user}/rows?k=2&fields=genre").json()
    shown = [item["item_id"] for row in body["rows"] for item in row["items"]]
    assert len(shown) == len(set(shown))
    assert not set(shown) & set(HISTORIES.get(user, ()))
    assert all(item["fields"].keys() == {"genre"} for row in body["rows"] for item in row["items"])
    assert all(0 < len(row["items"]) <= 2 for row in body["rows"])


def test_rows_begin_with_what_is_recommended_and_say_what_they_are_about(client: TestClient) -> None:
    body = client.get("/v1/users/u0/rows?k=1").json()
    first, second = body["rows"][:2]
    assert (first["kind"], first["title"], body["tier"]) == ("for-you", "For you", "history")
    assert item_ids(first) == item_ids(client.get("/v1/users/u0/recommendations?k=1").json())
    assert "name" not in first
    assert (second["kind"], second["name"], second["title"]) == ("because", "c", "Because you watched c")
    strangers = client.get("/v1/users/nobody/rows?k=2").json()
    assert next((row["kind"], row["name"]) for row in strangers["rows"]) == ("list", "popular")
    assert "for-you" not in [row["kind"] for row in strangers["rows"]]
    assert codes(strangers) == ["unknown_user", "no_history"]


def test_rows_as_they_are_asked_for(client: TestClient) -> None:
    comedies = {"filter": {"op": "eq", "column": "genre", "value": "comedy"}, "lists": ["new"], "because": 0}
    body = client.post("/v1/users/u0/rows", json=comedies).json()
    assert [row["kind"] for row in body["rows"]] == ["for-you"]  # which takes all comedies there are
    assert {item["item_id"] for row in body["rows"] for item in row["items"]} == set("dfh")
    names = [row.get("name") for row in client.post("/v1/users/u0/rows", json={"k": 1, "because": 0}).json()["rows"]]
    assert names == [None, "trending", "new", "popular"]
    check_problem(client.post("/v1/users/u0/rows", json={"lists": ["nope"]}), 422, "invalid-request")
    check_problem(client.get("/v1/users/u0/rows?because=11"), 422, "invalid-request")


def test_rows_about_a_history_need_the_scope_that_tells_it(bundle_path: Path, tmp_path: Path) -> None:
    plain, telling = new_key(), new_key()
    keys = tmp_path / "keys"
    scopes = (("plain", plain, ("recommend",)), ("telling", telling, ("recommend", "explain")))
    keys.write_text("".join(f"{entry_of(key, name, given)}\n" for name, key, given in scopes))
    settings = Settings(bundle=bundle_path, store=f"sqlite:///{tmp_path}/e.db", keys_file=keys)
    with TestClient(create_app(settings)) as client:
        for key, because, status in ((plain, 1, 403), (plain, 0, 200), (telling, 1, 200)):
            found = client.get(f"/v1/users/u0/rows?because={because}", headers={"Authorization": f"Bearer {key}"})
            assert found.status_code == status
        assert client.get("/v1/lists/new", headers={"Authorization": f"Bearer {plain}"}).status_code == 200
        assert client.get("/v1/lists/new").status_code == 401


def test_the_client_asks_for_all_of_them(client: TestClient) -> None:
    service = Client(http=client)
    assert [item.rank for item in service.list_items("trending", 2).items] == [1, 2]
    drama = {"op": "eq", "column": "genre", "value": "drama"}
    request = ListRequest.model_validate({"k": 1, "filter": drama})
    assert service.list_items("new", request=request).items[0].item_id == "e"
    assert service.similar("a", 1).items[0].item_id in "bcg"
    beside = ItemsRequest.model_validate({"k": 1, "filter": drama})
    assert service.similar("a", request=beside).items[0].item_id in "ceg"
    assert service.bought_together("g", 1).items[0].item_id == "h"
    assert service.bought_together("g", request=beside).items[0].item_id in "ace"
    assert service.rows("u0", 2).rows[0].kind == "for-you"
    assert service.rows("u0", request=RowsRequest(k=1, because=0)).rows[1].name == "trending"
    with pytest.raises(ConfigError, match="request"):
        service.list_items("new", 3, request=request)


def put(client: TestClient, item_id: str, **document: object) -> None:
    assert client.put(f"/v1/items/{item_id}", json=document).status_code == 200


def test_items_that_came_after_the_bundle_are_the_newest(client: TestClient) -> None:
    before = item_ids(client.get("/v1/lists/new").json())
    for number in range(4):
        put(client, f"n{number}", fields={"genre": "drama" if number % 2 else "comedy", "year": 2000 + number})
    body = client.get("/v1/lists/new?k=20&fields=year").json()
    assert item_ids(body) == ["n3", "n2", "n1", "n0", *before]
    assert [item["rank"] for item in body["items"]] == list(range(1, 5 + len(before)))
    assert [item["fields"]["year"] for item in body["items"][:2]] == [2003, 2002]
    scores = [item["score"] for item in body["items"]]
    assert scores == sorted(scores, reverse=True)
    put(client, "n2", fields={"genre": "comedy"}, hidden=True)
    client.delete("/v1/items/n0")
    assert item_ids(client.get("/v1/lists/new?k=3").json()) == ["n3", "n1", before[0]]
    drama = {"filter": {"op": "eq", "column": "genre", "value": "drama"}, "k": 20}
    assert item_ids(client.post("/v1/lists/new", json=drama).json())[:2] == ["n3", "n1"]
    without = client.post("/v1/lists/new", json={"exclude": ["n3"], "k": 1}).json()
    assert (item_ids(without), codes(without)) == (["n1"], [])
    pushed = {"boost": [{"by": "add", "value": 1000.0, "items": [before[-1]]}], "k": 3}
    assert item_ids(client.post("/v1/lists/new", json=pushed).json()) == [before[-1], "n3", "n1"]
    pushed = {"boost": [{"by": "add", "value": 1000.0, "items": ["n1"]}], "k": 2}
    assert item_ids(client.post("/v1/lists/new", json=pushed).json()) == ["n1", "n3"]
    for address in ("/v1/lists/popular", "/v1/lists/trending", "/v1/lists/recent", *BESIDE):
        assert not {"n0", "n1", "n2", "n3"} & set(item_ids(client.get(address).json()))


def test_rows_have_what_came_after_the_bundle_once_and_never_what_a_user_has(client: TestClient) -> None:
    for number in range(3):
        put(client, f"n{number}", fields={})
    event = {"user_id": "u0", "item_id": "n1", "event_type": "buy"}
    assert client.post("/v1/events", json={"events": [event]}).status_code == 200
    rows = client.get("/v1/users/u0/rows?k=2").json()["rows"]
    assert next(item_ids(row) for row in rows if row.get("name") == "new") == ["n2", "n0"]
