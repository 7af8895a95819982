"""Pages of other sites change nothing; programs, the service's own pages and the origins that are let in do."""

import re

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from recsys_vae.errors import ConfigError
from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.client.client import Client
from service.schemas.events import NewEvent
from service.security.api_keys import SCOPES, entry_of, new_key
from service.security.bind_checks import made_safe
from service.security.same_origin import CHANGING, has_body, is_form, is_json
from service.security.sessions import is_page
from service.settings import Settings
from tests.service.tiny import only

SHOP = "https://shop.example"
FOREIGN = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    {"Sec-Fetch-Site": "made-up"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://testserver:81"},
    {"Origin": "http://testserver.evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
]
OWN = [
    {},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://testserver"},
    {"Origin": "https://TESTSERVER"},
    {"Sec-Fetch-Site": "cross-site", "Origin": SHOP},
    {"Origin": SHOP},
]


def changing(client: TestClient) -> list[tuple[str, str]]:
    """Method and address of every route that may change something."""
    return [
        (method, re.sub(r"\{[^}]*\}", "x", str(context.path)))
        for context in iter_route_contexts(client.app.routes)
        for method in sorted((context.methods or set()) & CHANGING)
    ]


def of_the_api(client: TestClient) -> list[tuple[str, str]]:
    """Those that programs call; forms of pages carry a token too (tests/service/ui)."""
    return [(method, address) for method, address in changing(client) if not is_page(address)]


@pytest.fixture(params=[False, True], ids=["without keys", "with keys"])
def client(request: pytest.FixtureRequest, settings: Settings, chain: FallbackChain) -> TestClient:
    key = new_key()
    keys = str(entry_of(key, "all", SCOPES)) if request.param else None
    chosen = settings.model_copy(update={"keys": keys, "cors_origins": (SHOP,)})
    with TestClient(create_app(chosen, only(chain))) as client:
        client.headers.update({"Authorization": f"Bearer {key}"} if request.param else {})
        yield client


def test_no_page_of_another_site_changes_anything_anywhere(client: TestClient) -> None:
    routes = changing(client)
    assert {("POST", "/v1/admin/rollback"), ("POST", "/v1/events"), ("DELETE", "/v1/users/x")} <= set(routes)
    before = client.get("/v1/admin/deployment").json()["generation"]
    for method, address in routes:
        for headers in FOREIGN:
            refused = client.request(method, address, headers=headers)
            assert refused.status_code == 403, (method, address, headers)
            assert refused.json()["type"] == "urn:recsys:problem:cross-site"
            assert "RECSYS_CORS_ORIGINS" in refused.json()["detail"]
    assert client.get("/v1/admin/deployment").json()["generation"] == before
    counted = f'recsys_refused_requests_total{{reason="cross-site"}} {float(len(routes) * len(FOREIGN))}'
    assert counted in client.get("/metrics").text


def test_programs_own_pages_and_named_origins_do(client: TestClient) -> None:
    for method, address in of_the_api(client):
        for headers in OWN:
            assert client.request(method, address, headers=headers).status_code not in (403, 415), (address, headers)
    assert Client(http=client).send_events([NewEvent(user_id="u", item_id="a")]).accepted == 1
    assert client.get("/v1/bundle", headers=FOREIGN[0]).status_code == 200  # reading is what CORS is for


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
def test_a_body_is_declared_as_json_everywhere(client: TestClient, kind: str | None) -> None:
    for method, address in of_the_api(client):
        headers = {"Content-Type": kind} if kind else {}
        refused = client.request(method, address, content=b"{}", headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (415, "urn:recsys:problem:not-json"), (method, address)
        assert client.request(method, address, headers=headers).status_code != 415  # as `curl -d ''` sends it


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "multipart/form-data"])
def test_a_body_for_a_page_is_declared_as_a_form(client: TestClient, kind: str) -> None:
    refused = client.post("/ui/login", content=b"key=1", headers={"Content-Type": kind})
    assert (refused.status_code, refused.json()["type"]) == (415, "urn:recsys:problem:not-a-form")


def test_what_is_json_and_what_is_a_body() -> None:
    assert all(map(is_json, [b"application/json", b"Application/JSON ; charset=utf-8", b"application/geo+json"]))
    assert not any(map(is_json, [b"", b"text/json", b"application/jsonp", b"text/plain; application/json"]))
    assert is_form(b"Application/X-WWW-Form-Urlencoded; charset=utf-8")
    assert not is_form(b"application/json")
    assert has_body({b"transfer-encoding": b"chunked"})
    assert has_body({b"content-length": b"10"})
    assert not has_body({b"content-length": b"0"})
    assert not has_body({})


def test_every_site_may_call_only_where_keys_are_asked_for() -> None:
    with pytest.raises(ConfigError, match="Name the origins"):
        made_safe(Settings(cors_origins=("*",)))
    keys = str(entry_of(new_key(), "all", SCOPES))
    assert made_safe(Settings(cors_origins=("*",), keys=keys)).cors_origins == ("*",)
