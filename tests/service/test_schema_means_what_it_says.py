"""What the OpenAPI document allows is taken, and what is refused it does not allow: where that is not plain."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.test_routes import check_problem
from tests.service.tiny import fill

POST = "/v1/recommendations"
DRAMA = {"op": "eq", "column": "genre", "value": "drama"}


def allows(document: dict[str, Any], schema: dict[str, Any], value: object) -> bool:
    """Whether a schema of the document allows a value."""
    rooted = {"components": document["components"], "allOf": [schema]}
    return jsonschema_rs.validator_for(rooted).is_valid(value)


def component(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


@pytest.fixture(scope="module")
def client(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One for all of them: nothing here changes anything."""
    store = f"sqlite:///{tmp_path_factory.mktemp('store') / 'events.db'}"
    fill(store)
    with TestClient(create_app(Settings(bundle=bundle_path, store=store))) as client:
        yield client


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


BOOSTS = [
    ({"by": "add", "value": -1, "items": ["a"]}, True),
    ({"by": "multiply", "value": 1e-6, "where": DRAMA}, True),
    ({"by": "multiply", "value": 2, "where": DRAMA, "items": None}, True),
    ({"by": "multiply", "value": 0, "items": ["a"]}, False),
    ({"by": "multiply", "value": -2, "items": ["a"]}, False),
    ({"by": "add", "value": 1}, False),
    ({"by": "add", "value": 1, "items": None, "where": None}, False),
    ({"by": "add", "value": 1, "items": ["a"], "where": DRAMA}, False),
    ({"by": "add", "value": 1, "items": []}, False),
]
RANGES = [
    ({"op": "range", "column": "year", "min": 1990}, True),
    ({"op": "range", "column": "year", "min": None, "max": 1990}, True),
    ({"op": "range", "column": "year", "min": 1990, "max": 1991}, True),
    ({"op": "range", "column": "year"}, False),
    ({"op": "range", "column": "year", "min": None, "max": None}, False),
]


@pytest.mark.parametrize(("boost", "fits"), BOOSTS)
def test_boosts_name_items_in_one_way_and_have_factors_above_0(
    client: TestClient, document: dict[str, Any], boost: dict, fits: bool
) -> None:
    assert allows(document, component("BoostRequest"), boost) is fits
    assert client.post(POST, json={"k": 1, "boost": [boost]}).status_code == (200 if fits else 422)


@pytest.mark.parametrize(
    ("quota", "fits"),
    [
        ({"n": 1, "group": "new"}, True), ({"n": 1, "items": ["a"]}, True),
        ({"n": 1, "where": DRAMA, "group": None}, True),
        ({"n": 1}, False), ({"n": 0, "group": "new"}, False), ({"n": 1, "group": "old"}, False),
        ({"n": 1, "group": "new", "where": DRAMA}, False), ({"n": 1, "items": []}, False),
    ],
)  # fmt: skip
def test_quotas_name_items_in_one_way(client: TestClient, document: dict[str, Any], quota: dict, fits: bool) -> None:
    assert allows(document, component("QuotaRequest"), quota) is fits
    assert client.post(POST, json={"k": 1, "quotas": [quota]}).status_code == (200 if fits else 422)


@pytest.mark.parametrize(("condition", "fits"), RANGES)
def test_ranges_have_a_bound(client: TestClient, document: dict[str, Any], condition: dict, fits: bool) -> None:
    assert allows(document, component("RangeFilter"), condition) is fits
    assert client.post(POST, json={"k": 1, "filter": condition}).status_code == (200 if fits else 422)


@pytest.mark.parametrize(
    ("source", "fits"),
    [
        ("2026-11-24", True), ("models:/movies@champion", True), ("models:/movies/7", True), ("/bundles/a", True),
        ("models:/movies", False), ("models:movies", False), ("models:/movies/latest", False), ("models:", False),
        ("a\x00b", False), ("", False), ("x" * 1025, False),
    ],
)  # fmt: skip
def test_what_may_be_loaded_is_a_model_or_looks_like_a_directory(
    client: TestClient, document: dict[str, Any], source: str, fits: bool
) -> None:
    assert allows(document, component("ReloadRequest"), {"source": source}) is fits
    if not fits:
        response = client.post("/v1/admin/reload", json={"source": source})
        assert check_problem(response, 422, "invalid-request")["errors"][0]["field"] == "body.source"


@pytest.mark.parametrize(
    ("name", "fits"), [("main", True), ("a.b_c-1", True), ("a b", False), ("é", False), ("x" * 65, False)]
)
def test_variants_have_the_names_that_settings_give_them(
    client: TestClient, document: dict[str, Any], name: str, fits: bool
) -> None:
    parameters = document["paths"]["/v1/bundle"]["get"]["parameters"]
    (schema,) = [one["schema"] for one in parameters if one["name"] == "x-recsys-variant"]
    assert allows(document, schema, name) is fits
    assert allows(document, component("ReloadRequest"), {"variant": name}) is fits
    refused = client.get("/v1/bundle", headers={"X-Recsys-Variant": name.encode()})
    told = "no variant" if fits else "String should"
    assert refused.status_code == 200 if name == "main" else told in refused.json()["detail"]


def test_cursors_look_like_those_that_are_given_out(client: TestClient, document: dict[str, Any]) -> None:
    parameters = document["paths"]["/v1/users/{user_id}/recommendations"]["get"]["parameters"]
    (in_query,) = [one["schema"] for one in parameters if one["name"] == "cursor"]
    in_body = document["components"]["schemas"]["RecommendationRequest"]["properties"]["cursor"]
    given = client.get("/v1/users/u0/recommendations?k=1").json()["next_cursor"]
    for schema in (in_query, in_body):
        assert allows(document, schema, given)
        assert all(allows(document, schema, example) for example in in_body["examples"])
        assert not any(allows(document, schema, text) for text in ("", "hello", "x" * 60, f"{given[:50]}!", given[:40]))
    for text in ("hello", "x" * 60, given[:40]):
        assert "damaged" in check_problem(client.post(POST, json={"cursor": text}), 422, "invalid-request")["detail"]


ADDRESSES = (
    "/v1/users/u0", "/v1/users/u0/recommendations", "/v1/items/a", "/v1/items/a/similar", "/v1/bundle",
    "/v1/lists/popular", "/v1/items/a/bought-together", "/v1/users/u0/rows",
    "/v1/admin/deployment", "/metrics",
)  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_parameter_that_is_unknown_is_refused_as_a_field_is(client: TestClient, address: str) -> None:
    found = check_problem(client.get(f"{address}?filter=zzz&K=3&filter=&k%00="), 422, "invalid-request")
    assert [fault["field"] for fault in found["errors"]] == ["query.filter", "query.K", "query.k\x00"]
    assert client.get(address).status_code == 200


@pytest.mark.parametrize("address", [POST, f"{POST}:batch", "/v1/events", "/v1/admin/rollback"])
def test_nor_does_one_pass_beside_a_body(client: TestClient, address: str) -> None:
    body = {"events": [{"user_id": "u", "item_id": "a"}]} if "events" in address else {"requests": [{}]}
    sent = client.post(f"{address}?k=3", json={} if address == POST else body)
    assert check_problem(sent, 422, "invalid-request")["errors"][0]["field"] == "query.k"


def test_probes_may_be_sent_with_anything_behind_the_address(client: TestClient) -> None:
    assert client.get("/health/ready?now=1").status_code == 200
