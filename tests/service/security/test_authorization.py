"""Every door is closed to who has no key for it; the routes are those that the application has, whichever they are."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from recsys_vae.recommender import FallbackChain
from service import app as composition
from service.app import create_app
from service.security import authorization
from service.security.access import INCLUDED
from service.security.api_keys import SCOPES, entry_of, new_key
from service.security.authorization import is_open, needs, scopes_of
from service.security.sessions import is_page
from service.settings import Settings
from tests.service.tiny import fill, only

KEYS = {scope: new_key() for scope in SCOPES}
BOTH = {"/v1/admin/replay/x": new_key()}
"""Addresses that the scope of the route opens together with `histories` alone, each with a key of both."""
POST = "/v1/recommendations"


@pytest.fixture
def guarded(bundle_path: Path, tmp_path: Path) -> Settings:
    """Keys of one scope each, and of two where a route needs both."""
    url = f"sqlite:///{tmp_path / 'events.db'}"
    fill(url)
    entries = [entry_of(key, f"only-{scope}", [scope]) for scope, key in KEYS.items()]
    entries += [entry_of(key, "both", ["admin", "histories"]) for key in BOTH.values()]
    return Settings(bundle=bundle_path, store=url, keys=";".join(map(str, entries)))


@pytest.fixture
def client(guarded: Settings, chain: FallbackChain) -> Iterator[TestClient]:
    with TestClient(create_app(guarded, only(chain))) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def operations(app: FastAPI) -> list[tuple[str, str, str | None]]:
    """Method, an address that the route matches, and its scope: of every route there is."""
    return [
        (method, re.sub(r"\{[^}]*\}", "x", str(context.path)), scope)
        for context, (_, scope) in zip(iter_route_contexts(app.routes), scopes_of(app), strict=True)
        for method in sorted(context.methods or {"GET"})
        if not is_open(str(context.path)) and not is_page(str(context.path))  # by session: tests/service/ui
    ]


def refused(response, status: int, code: str) -> dict:
    assert response.status_code == status, f"{response.request.method} {response.request.url}: {response.status_code}"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"].startswith('Bearer realm="recsys"')
    body = response.json() if response.request.method != "HEAD" else {"type": f"urn:recsys:problem:{code}"}
    assert body["type"] == f"urn:recsys:problem:{code}"
    return body


def test_every_route_is_refused_without_a_key_with_a_wrong_one_and_with_a_wrong_scope(client: TestClient) -> None:
    found = operations(client.app)
    assert {scope for *_, scope in found} >= {"recommend", "metrics"}
    assert {scope for path, scope in scopes_of(client.app) if is_page(path) and not is_open(path)} == {"ui"}
    for method, address, scope in found:
        assert scope in SCOPES, f"{method} {address} names no scope"
        refused(client.request(method, address), 401, "no-key")
        refused(client.request(method, address, headers=bearer(new_key())), 401, "wrong-key")
        for other in set(SCOPES) - {scope, INCLUDED.get(scope)}:
            response = client.request(method, address, headers=bearer(KEYS[other]), json={})
            refused(response, 403, "wrong-scope")
            assert f'scope="{scope}"' in response.headers["www-authenticate"]
        if address in BOTH:
            refused(client.request(method, address, headers=bearer(KEYS[scope])), 403, "wrong-scope")
        opening = bearer(BOTH.get(address, KEYS[scope]))
        allowed = client.request(method, address, headers=opening, json={}).status_code
        assert allowed not in (401, 403), f"{method} {address} is closed to its own scope"


TELLING = [
    {"seen": "allow"},
    {"repeat": "only"},
    {"explain": True},
    {"candidates": ["a"]},
    {"candidates": []},
    {"boost": [{"by": "add", "value": 9, "items": ["a"]}]},
]


@pytest.mark.parametrize("extra", TELLING)
@pytest.mark.parametrize("plain", [True, False], ids=["fast", "plain"])
def test_a_key_for_lists_does_not_read_what_is_stored_of_a_user(
    guarded: Settings, chain: FallbackChain, extra: dict, plain: bool
) -> None:
    reader = new_key()
    entries = f"{guarded.keys};{entry_of(reader, 'reader', ['recommend', 'explain'])}"
    kind = "application/json" if plain else "application/x+json"
    with TestClient(create_app(guarded.model_copy(update={"keys": entries}), only(chain))) as client:

        def ask(key: str, address: str, body: dict) -> dict:
            response = client.post(address, json=body, headers=bearer(key) | {"Content-Type": kind})
            return response.json() | {"status": response.status_code}

        for user_id in ("u0", "nobody"):
            stored = {"user_id": user_id, "k": 1, **extra}
            response = client.post(POST, json=stored, headers=bearer(KEYS["recommend"]) | {"Content-Type": kind})
            assert "'explain', which explain, candidates" in refused(response, 403, "wrong-scope")["detail"]
            assert 'scope="explain"' in response.headers["www-authenticate"]
            assert ask(reader, POST, stored)["status"] == 200
            many = ask(KEYS["recommend"], f"{POST}:batch", {"requests": [stored, {"user_id": user_id, "k": 1}]})
            assert [one["status"] for one in many["results"]] == [403, 200]
        assert ask(KEYS["recommend"], POST, {"history": ["a", "b"], "k": 1, **extra})["status"] == 200
        assert ask(KEYS["explain"], POST, {"k": 1})["status"] == 403  # it adds to the scope `recommend`


def test_reading_what_is_held_about_a_user_does_not_need_the_right_to_erase_it(client: TestClient) -> None:
    address = "/v1/users/u0"
    assert client.get(address, headers=bearer(KEYS["histories"])).json()["events"] == 3
    refused(client.delete(address, headers=bearer(KEYS["histories"])), 403, "wrong-scope")
    assert client.get(address, headers=bearer(KEYS["users"])).status_code == 200
    assert client.delete(address, headers=bearer(KEYS["users"])).json()["erased"] == 3


def test_a_route_without_a_scope_does_not_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    careless = APIRouter()
    careless.add_api_route("/v1/careless", lambda: "anything")
    monkeypatch.setattr(composition.API, "routes", [*composition.API.routes, *careless.routes])
    with pytest.raises(TypeError, match="/v1/careless: a route names its scope"):
        create_app(settings)


def test_an_application_of_which_nobody_asks_the_key_lets_nobody_in() -> None:
    app = FastAPI()
    app.add_api_route("/v1/alone", lambda: "anything", dependencies=[needs("admin")])
    with TestClient(app) as client, pytest.raises(authorization.ForbiddenError):
        client.get("/v1/alone")


def test_health_needs_no_key_and_the_pages_are_off_once_there_are_keys(client: TestClient) -> None:
    assert client.get("/health/live").status_code == client.get("/health/ready").status_code == 200
    for address in ("/docs", "/openapi.json"):
        assert client.get(address).status_code == 404


def test_a_stranger_learns_not_even_which_addresses_there_are(client: TestClient) -> None:
    strangers = [
        client.get("/nowhere"),
        client.put(POST),
        client.post(POST, content=b'{"k":', headers={"content-type": "application/json"}),
        client.post(POST, json={"k": 0}),
        client.get("/health/live/../../metrics"),
        client.get("//health/live"),
    ]
    for response in strangers:
        refused(response, 401, "no-key")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([("Authorization", KEYS["recommend"])], "no-key"),
        ([("Authorization", f"Basic {KEYS['recommend']}")], "no-key"),
        ([("Authorization", "Bearer")], "no-key"),
        ([("Authorization", "Bearer ")], "no-key"),
        ([("Authorization", f"Bearer {KEYS['recommend']}x")], "wrong-key"),
        ([("Authorization", f"Bearer {KEYS['recommend'][:-1]}")], "wrong-key"),
        ([("Authorization", f"Bearer {KEYS['recommend']}")] * 2, "no-key"),
        ([("X-API-Key", KEYS["recommend"])], "no-key"),
    ],
)
def test_what_is_not_one_bearer_key_is_refused(client: TestClient, headers: list, code: str) -> None:
    refused(client.post(POST, json={}, headers=headers), 401, code)


def test_a_key_is_in_no_answer_no_metric_and_no_log(
    guarded: Settings, chain: FallbackChain, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setattr("service.ranking.engine.answer_all", lambda *_: 1 / 0)
    wrong = new_key()
    with TestClient(create_app(guarded, only(chain))) as client:
        answers = [
            client.post(POST, json={}, headers=bearer(key)).text for key in (KEYS["recommend"], KEYS["events"], wrong)
        ]
        metrics = client.get("/metrics", headers=bearer(KEYS["metrics"])).text
    everything = caplog.text + metrics + "".join(answers)
    assert "ZeroDivisionError" in caplog.text
    assert [key for key in (*KEYS.values(), wrong) if key in everything] == []
    for reason in ("scope", "wrong-key"):
        assert f'recsys_refused_requests_total{{reason="{reason}"}} 1.0' in metrics


def test_the_api_documents_its_keys_and_refusals(client: TestClient) -> None:
    document = client.app.openapi()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert document["paths"][POST]["post"]["security"] == [{"key": ["recommend"]}, {"key": ["recommend", "explain"]}]
    assert document["paths"]["/v1/users/{user_id}"]["get"]["security"] == [{"key": ["histories"]}, {"key": ["users"]}]
    assert document["paths"]["/v1/users/{user_id}"]["delete"]["security"] == [{"key": ["users"]}]
    assert {"401", "403", "408", "429", "431"} <= set(document["paths"][POST]["post"]["responses"])
    assert "security" not in document["paths"]["/health/live"]["get"]


def test_without_keys_everything_is_open(settings: Settings, chain: FallbackChain) -> None:
    with TestClient(create_app(settings, only(chain))) as client:
        assert [client.get(address).status_code for address in ("/metrics", "/docs", "/openapi.json")] == [200] * 3
