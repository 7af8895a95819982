import asyncio
import json
import re

import pytest
from fastapi.testclient import TestClient

from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.http.limits import BodyLimit
from service.observability.metrics import Metrics
from service.observability.request_middleware import Observed
from service.settings import Settings
from tests.service.tiny import only

POST = "/v1/recommendations"
ORIGIN = "https://shop.example"


def client_of(settings: Settings, chain: FallbackChain, **changed: object) -> TestClient:
    return TestClient(create_app(settings.model_copy(update=changed), only(chain)))


@pytest.mark.parametrize("address", ["/health/live", "/v1/bundle", "/nowhere", "/metrics", "/openapi.json"])
def test_every_answer_keeps_browsers_from_guessing_storing_and_framing(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors 'none'")
    assert "server" not in headers


def test_a_defect_has_them_too(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.ranking.engine.answer_all", lambda *_: 1 / 0)
    response = client.post(POST, json={})
    assert (response.status_code, response.headers["x-content-type-options"]) == (500, "nosniff")


def test_the_page_is_made_of_what_is_shipped_and_of_nothing_else(client: TestClient) -> None:
    response = client.get("/docs")
    [policy] = response.headers.get_list("content-security-policy")
    assert "script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "://" not in response.text
    addresses = re.findall(r'(?:src|href)="(/[^"]+)"', response.text)
    assert len(addresses) == 3
    for address in addresses:
        asset = client.get(address)
        assert (asset.status_code, asset.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert asset.headers["content-type"].startswith(("text/css", "text/javascript"))
    assert client.get("/docs/assets/0000000000000000/docs.js").status_code == 404
    assert client.get("/docs/assets/0000000000000000/..%2Fassets.py").status_code == 404


def test_the_page_is_shown_or_not_as_the_settings_say(settings: Settings, chain: FallbackChain) -> None:
    with client_of(settings, chain, docs=False) as client:
        assert [client.get(address).status_code for address in ("/docs", "/openapi.json")] == [404, 404]


def test_no_other_site_may_call_unless_it_is_named(
    settings: Settings, chain: FallbackChain, client: TestClient
) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    assert not [name for name in client.options(POST, headers=asked).headers if name.startswith("access-control")]
    with client_of(settings, chain, cors_origins=(ORIGIN,), keys=KEYS) as named:
        assert named.options(POST, headers=asked).headers["access-control-allow-origin"] == ORIGIN
        assert named.options(POST, headers=asked | {"Origin": "https://evil.example"}).status_code == 400
        refused = named.post(POST, json={}, headers={"Origin": ORIGIN})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ORIGIN)
        assert "access-control-allow-credentials" not in refused.headers


def test_pages_may_read_what_the_limits_refuse(settings: Settings, chain: FallbackChain) -> None:
    limits = {"max_headers": 20, "max_body_bytes": 1024, "hosts": ("testserver",)}
    with client_of(settings, chain, cors_origins=(ORIGIN,), **limits) as client:
        answers = [
            client.post(POST, json={"history": ["a"] * 1000}, headers={"Origin": ORIGIN}),
            client.post(POST, content=b"{", headers={"Origin": ORIGIN, "Content-Type": "application/json"}),
            client.post(POST, json={}, headers={"Origin": ORIGIN, "Host": "evil.example"}),
            client.post(POST, json={}, headers={"Origin": ORIGIN} | {f"x-{i}": "1" for i in range(20)}),
        ]
    assert [answer.status_code for answer in answers] == [413, 400, 421, 431]
    assert [answer.headers["access-control-allow-origin"] for answer in answers] == [ORIGIN] * 4


KEYS = f"shop sha256:{'0' * 64} recommend"


def test_too_many_headers_are_refused(settings: Settings, chain: FallbackChain) -> None:
    with client_of(settings, chain, max_headers=20) as client:
        assert client.get("/v1/bundle").status_code == 200
        response = client.get("/v1/bundle", headers={f"x-{i}": "1" for i in range(20)})
    assert (response.status_code, response.json()["type"]) == (431, "urn:recsys:problem:too-many-headers")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:8000", 200), ("127.0.0.1:1", 200), ("[::1]:8000", 200), ("[::1]", 200),
        ("evil.example", 421), ("evil.example:8000", 421), ("localhost.evil.example", 421), ("", 421),
    ],
)  # fmt: skip
def test_a_page_that_takes_its_name_for_this_machine_is_refused(
    settings: Settings, chain: FallbackChain, host: str, status: int
) -> None:
    with client_of(settings, chain, hosts=("localhost", "127.0.0.1", "[::1]")) as client:
        assert client.get("/v1/bundle", headers={"Host": host}).status_code == status


def test_probes_of_health_are_answered_by_whatever_name(settings: Settings, chain: FallbackChain) -> None:
    with client_of(settings, chain, hosts=("recsys.example",)) as client:
        for host in ("127.0.0.1:8000", "10.0.0.7", "recsys.example", "localhost"):
            probes = [client.get(f"/health/{kind}", headers={"Host": host}).status_code for kind in ("live", "ready")]
            assert probes == [200, 200]
        assert client.get("/v1/bundle", headers={"Host": "127.0.0.1:8000"}).status_code == 421
        assert client.get("/health%2Flive", headers={"Host": "127.0.0.1:8000"}).status_code == 421


def test_a_body_that_does_not_come_in_time_is_given_up(settings: Settings, chain: FallbackChain) -> None:
    app = create_app(settings.model_copy(update={"body_seconds": 0.05}), only(chain))
    parts = [b'{"k":', None]  # the second part never comes
    sent: list = []

    async def receive() -> dict:
        part = parts.pop(0)
        if part is None:
            await asyncio.sleep(30)
        return {"type": "http.request", "body": part, "more_body": True}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": POST, "raw_path": POST.encode(), "query_string": b"",
        "headers": [(b"content-type", b"application/json")], "state": {},
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 10))
    assert sent[0]["status"] == 408
    assert dict(sent[0]["headers"])[b"connection"] == b"close"
    assert json.loads(sent[1]["body"])["type"] == "urn:recsys:problem:body-too-slow"


def test_a_client_that_stays_longer_than_its_body_took_is_not_given_up() -> None:
    messages = iter([{"type": "http.request", "body": b"{}", "more_body": False}])
    heard: list = []

    async def receive() -> dict:
        for message in messages:
            return message
        await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    async def app(scope: dict, receive, send) -> None:
        heard.extend([await receive(), await receive()])

    limited = BodyLimit(app, max_bytes=10, seconds=0.01)
    asyncio.run(limited({"type": "http", "headers": []}, receive, lambda message: None))
    assert [message["type"] for message in heard] == ["http.request", "http.disconnect"]


def test_a_request_that_ends_in_no_answer_is_counted_and_written_all_the_same() -> None:
    metrics, written = Metrics(), []

    async def app(scope: dict, receive, send) -> None:
        raise asyncio.CancelledError

    observed = Observed(app, metrics, lambda scope, record, status, seconds: written.append(status))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(observed({"type": "http", "method": "GET", "headers": []}, None, None))  # type: ignore[arg-type]
    assert written == [0]
    assert b"recsys_requests_under_way 0.0" in metrics.text()
    assert b'recsys_request_seconds_count{method="GET",route="unmatched",status="0",tier=""} 1.0' in metrics.text()
