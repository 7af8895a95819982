import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from recsys_vae.errors import DataError
from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.ranking import ranking
from service.settings import Settings
from tests.service.tiny import HISTORIES, ITEMS

POST = "/v1/recommendations"


def codes(body: dict) -> list[str]:
    return [warning["code"] for warning in body["warnings"]]


def item_ids(body: dict) -> list[str]:
    return [item["item_id"] for item in body["items"]]


def check_problem(response, status: int, code: str) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["type"] == f"urn:recsys:problem:{code}"
    assert (body["status"], body["request_id"]) == (status, response.headers["x-request-id"])
    assert body["title"]
    assert body["detail"]
    return body


def test_a_history_in_the_request_is_answered(client: TestClient, chain: FallbackChain) -> None:
    body = client.post(POST, json={"history": ["a", {"item_id": "b", "weight": 2}], "k": 3}).json()
    assert set(body) == {"request_id", "variant", "model_version", "tier", "scorer", "items", "next_cursor", "warnings"}
    assert (body["model_version"], body["tier"], body["scorer"]) == (chain.bundle.version, "history", "ease")
    assert [item["rank"] for item in body["items"]] == [1, 2, 3]
    assert {item["source"] for item in body["items"]} == {"history"}
    assert not set(item_ids(body)) & {"a", "b"}
    assert body["warnings"] == []


@pytest.mark.parametrize("user", HISTORIES)
def test_a_known_user_is_answered_from_the_store_by_either_address(client: TestClient, user: str) -> None:
    by_post = client.post(POST, json={"user_id": user, "k": 4}).json()
    by_get = client.get(f"/v1/users/{user}/recommendations?k=4").json()
    by_history = client.post(POST, json={"history": list(HISTORIES[user]), "k": 4}).json()
    assert by_post["items"] == by_get["items"] == by_history["items"]
    assert (by_post["tier"], by_post["warnings"]) == ("history", [])


def test_stored_and_sent_histories_are_joined(client: TestClient) -> None:
    joined = client.post(POST, json={"user_id": "u0", "history": ["h", "a"], "k": 3}).json()
    alone = client.post(POST, json={"history": ["a", "b", "c", "h"], "k": 3}).json()
    assert joined["items"] == alone["items"]


def test_an_unknown_user_with_a_history_is_folded_in(client: TestClient) -> None:
    body = client.post(POST, json={"user_id": "nobody", "history": ["a"], "k": 3}).json()
    assert (body["tier"], codes(body)) == ("history", ["unknown_user"])


def test_an_unknown_user_without_a_history_gets_what_is_popular(client: TestClient) -> None:
    body = client.get("/v1/users/nobody/recommendations?k=2").json()
    assert (body["tier"], body["scorer"], item_ids(body)) == ("popular", "popularity", ["a", "b"])
    assert codes(body) == ["unknown_user", "no_history"]
    assert client.post(POST, json={"k": 2}).json()["items"] == body["items"]


def test_unknown_items_are_warnings(client: TestClient) -> None:
    body = client.post(POST, json={"history": ["a", "x"], "exclude": ["y"], "candidates": ["b", "z"], "k": 1}).json()
    assert item_ids(body) == ["b"]
    assert codes(body) == [f"unknown_items_in_{place}" for place in ("history", "exclude", "candidates")]


def test_fewer_allowed_items_than_k_is_a_warning(client: TestClient) -> None:
    response = client.post(POST, json={"history": ["a"], "exclude": ["b"], "candidates": ["a", "b", "c"], "k": 5})
    assert (response.status_code, item_ids(response.json())) == (200, ["c"])
    assert codes(response.json()) == ["fewer_items_than_k"]


def test_k_is_twenty_by_default_and_at_most_a_thousand(client: TestClient) -> None:
    assert "20 items" in client.post(POST, json={}).json()["warnings"][-1]["message"]
    assert len(client.post(POST, json={"k": 1000}).json()["items"]) == len(ITEMS)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"k": 0}, "body.k"),
        ({"k": 1001}, "body.k"),
        ({"k": "many"}, "body.k"),
        ({"kk": 5}, "body.kk"),
        ({"user_id": ""}, "body.user_id"),
        ({"user_id": "a\x00b"}, "body.user_id"),
        ({"user_id": "x" * 513}, "body.user_id"),
        ({"history": [7]}, "body.history.0"),
        ({"history": ["a", {"item_id": "b", "weight": 0}]}, "body.history.1.weight"),
        ({"history": [{"weight": 1}]}, "body.history.0.item_id"),
        ({"history": [{"item_id": "a", "when": 1}]}, "body.history.0.when"),
        ({"history": ["a"] * 10_001}, "body.history"),
        ({"exclude": ["a"] * 10_001}, "body.exclude"),
        ({"candidates": ["a"] * 10_001}, "body.candidates"),
        ([], "body"),
        ("text", "body"),
    ],
)
def test_a_field_that_breaks_its_contract_is_named(client: TestClient, body: object, field: str) -> None:
    found = check_problem(client.post(POST, json=body), 422, "invalid-request")
    assert found["errors"][0]["field"] == field
    assert found["errors"][0]["message"]


@pytest.mark.parametrize("address", ["/v1/users/u0/recommendations", "/v1/items/a/similar"])
@pytest.mark.parametrize("k", ["0", "1001", "x", ""])
def test_k_in_an_address_has_the_same_bounds(client: TestClient, address: str, k: str) -> None:
    assert (
        check_problem(client.get(address, params={"k": k}), 422, "invalid-request")["errors"][0]["field"] == "query.k"
    )


@pytest.mark.parametrize(
    "content", [b'{"k":', b"\xff\xfe", b"[" * 100_000, b'{"history": [{"item_id": "a", "weight": NaN}]}']
)
def test_what_is_not_json_is_refused(client: TestClient, content: bytes) -> None:
    response = client.post(POST, content=content, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


def test_a_lone_surrogate_is_refused_and_not_echoed(client: TestClient) -> None:
    content = b'{"user_id": "\\ud800", "\\udfff": 1}'
    response = client.post(POST, content=content, headers={"content-type": "application/json"})
    check_problem(response, 422, "invalid-request")


def test_a_body_must_be_declared_as_json(client: TestClient) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    check_problem(client.post(POST, content=b'{"k": 3}', headers=form), 415, "not-json")
    check_problem(client.post(POST), 422, "invalid-request")


def test_a_body_that_is_too_long_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=bundle_path, store=f"sqlite:///{tmp_path}/e.db", max_body_bytes=1024)

    def pieces() -> Iterator[bytes]:
        yield b'{"user_id": "'
        for _ in range(10):
            yield b"x" * 200
        yield b'"}'

    with TestClient(create_app(settings)) as client:
        for content in (b'{"user_id": "' + b"x" * 2000 + b'"}', pieces()):
            response = client.post(POST, content=content, headers={"content-type": "application/json"})
            assert "1024 bytes" in check_problem(response, 413, "body-too-long")["detail"]


def test_similar_items(client: TestClient) -> None:
    body = client.get("/v1/items/a/similar?k=3").json()
    assert (body["item_id"], len(body["items"]), body["warnings"]) == ("a", 3, [])
    assert "a" not in item_ids(body)
    assert codes(client.get("/v1/items/a/similar?k=30").json()) == ["fewer_items_than_k"]


def test_an_unknown_item_is_not_found(client: TestClient) -> None:
    assert "'nope'" in check_problem(client.get("/v1/items/nope/similar"), 404, "unknown-item")["detail"]


def test_ids_in_addresses_may_hold_slashes_and_line_breaks(client: TestClient) -> None:
    assert "'a/b c'" in check_problem(client.get("/v1/items/a%2Fb%20c/similar"), 404, "unknown-item")["detail"]
    assert codes(client.get("/v1/users/x%2Fy/recommendations").json())[0] == "unknown_user"
    assert codes(client.get("/v1/users/x%0Ay%0A/recommendations").json())[0] == "unknown_user"
    assert "'a\\nb'" in check_problem(client.get("/v1/items/a%0Ab/similar"), 404, "unknown-item")["detail"]
    check_problem(client.get("/v1/items//similar"), 422, "invalid-request")


def test_unknown_addresses_and_methods_are_problems_too(client: TestClient) -> None:
    check_problem(client.get("/v2/anything"), 404, "not-found")
    response = client.delete("/v1/bundle")
    check_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET"
    assert client.put("/v1/users/ann").headers["allow"] == "DELETE, GET"
    response = client.delete("/v1/users/ann/recommendations")
    check_problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET"


def test_a_request_keeps_its_id_where_it_is_a_plain_word(client: TestClient) -> None:
    named = client.post(POST, json={}, headers={"X-Request-ID": "abc-1.2_3"})
    assert named.json()["request_id"] == named.headers["x-request-id"] == "abc-1.2_3"
    for odd in ("a b", "x" * 129, "<script>"):
        given = client.get("/health/live", headers={"X-Request-ID": odd}).headers["x-request-id"]
        assert given != odd
        assert len(given) == 32


def test_the_bundle_in_service_is_shown(client: TestClient, chain: FallbackChain) -> None:
    body = client.get("/v1/bundle").json()
    assert (body["model_version"], body["model"], body["n_items"]) == (chain.bundle.version, "ease", 8)
    assert (body["dataset"], body["metrics"], body["index"]) == ("tiny", {"ndcg@100": 0.5}, None)


def test_health(client: TestClient) -> None:
    assert client.get("/health/live").json() == client.get("/health/ready").json() == {"status": "ok"}


def test_without_a_bundle_it_lives_but_is_not_ready(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(store=f"sqlite:///{tmp_path}/e.db"))) as client:
        assert client.get("/health/live").status_code == 200
        for response in (
            client.get("/health/ready"),
            client.post(POST, json={}),
            client.get("/v1/items/a/similar"),
            client.get("/v1/bundle"),
        ):
            check_problem(response, 503, "not-ready")
            assert response.headers["retry-after"] == "1"


def test_a_store_that_is_down_costs_stored_histories_only(
    bundle_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "events.db").write_text("no database" * 1000)
    with TestClient(create_app(Settings(bundle=bundle_path, store=f"sqlite:///{tmp_path}/events.db"))) as client:
        assert "does not answer" in caplog.text
        inline = client.post(POST, json={"history": ["a"], "k": 3})
        assert (inline.status_code, codes(inline.json())) == (200, ["items_unavailable"])
        both = client.post(POST, json={"user_id": "u0", "history": ["a"], "k": 3}).json()
        assert (both["items"], codes(both)) == (inline.json()["items"], ["store_unavailable", "items_unavailable"])
        stored = client.get("/v1/users/u0/recommendations?k=3").json()
        assert (stored["tier"], codes(stored)) == ("popular", ["store_unavailable", "no_history", "items_unavailable"])
        assert str(tmp_path) not in json.dumps(stored)


@pytest.mark.parametrize("error", [RuntimeError("secret path /etc"), DataError("secret matrix")])
def test_what_nobody_expected_is_logged_and_not_told(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ranking, "_answers", fail)
    body = check_problem(client.post(POST, json={}), 500, "internal-error")
    assert "secret" not in json.dumps(body)
    assert "secret" in caplog.text
    assert body["request_id"] in caplog.text


def test_metrics_count_requests_answers_and_warnings(client: TestClient, chain: FallbackChain) -> None:
    client.post(POST, json={"history": ["a"], "k": 2})
    client.get("/v1/users/nobody/recommendations?k=2")
    client.get("/v1/items/secret-item/similar")
    client.get("/nowhere")
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = response.text
    assert 'recsys_answers_total{tier="history"} 1.0' in lines
    assert 'recsys_answers_total{tier="popular"} 1.0' in lines
    assert 'recsys_warnings_total{code="unknown_user"} 1.0' in lines
    assert f'recsys_bundle_info{{model="ease",version="{chain.bundle.version}"}} 1.0' in lines
    for labels in (
        'method="POST",route="/v1/recommendations",status="200",tier="history"',
        'method="GET",route="/v1/users/{user_id}/recommendations",status="200",tier="popular"',
        'method="GET",route="/v1/items/{item_id}/similar",status="404",tier=""',
        'method="GET",route="unmatched",status="404",tier=""',
    ):
        assert f"recsys_request_seconds_count{{{labels}}} 1.0" in lines
    assert "secret-item" not in lines


def test_every_field_of_the_api_shows_an_example(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    ours = {name: schema for name, schema in schemas.items() if "Validation" not in name}
    assert "Problem" in ours
    for name, schema in ours.items():
        for field, content in schema["properties"].items():
            assert content.get("examples"), f"{name}.{field} has no example"
            assert content.get("description"), f"{name}.{field} has no description"


def test_the_api_documents_errors_as_problems(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert client.get("/docs").status_code == 200
    responses = document["paths"]["/v1/recommendations"]["post"]["responses"]
    assert set(responses) == {"200", "400", "401", "403", "408", "410", "413", "415", "422", "429", "431", "503"}
    assert list(responses["422"]["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
