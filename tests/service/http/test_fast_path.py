import asyncio
import json

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel

from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.http.fast_path import FastPath, Line
from service.observability.metrics import Metrics
from service.schemas.items import ItemReceipt, ItemSummary
from service.schemas.recommendations import BatchAnswer, Recommendations
from service.security.access import Access
from service.security.api_keys import ANYBODY, entry_of, new_key
from service.security.rate_limits import RateLimits
from service.settings import Settings
from tests.service.tiny import only

POST = "/v1/recommendations"


class Asked(BaseModel):
    k: int


@pytest.mark.parametrize(
    "asked", [{}, {"history": ["a", "nowhere"], "k": 3}, {"history": ["a", "b"], "explain": True}, {"user_id": "u0"}]
)
def test_what_is_written_is_what_is_documented(client: TestClient, asked: dict) -> None:
    sent = client.post(POST, json=asked)
    assert sent.headers["content-type"] == "application/json"
    documented = Recommendations.model_validate_json(sent.content)
    assert json.loads(documented.model_dump_json(exclude_unset=True)) == sent.json()
    together = client.post(f"{POST}:batch", json={"requests": [asked, {"k": 0}]})
    documented = BatchAnswer.model_validate_json(together.content)
    assert json.loads(documented.model_dump_json(exclude_unset=True)) == together.json()


def test_changes_of_items_are_told_alike_by_both_ways(client: TestClient) -> None:
    place, body = "/v1/items/a%2F%251", {"fields": {"price": 2, "tags": ["x"]}}
    for method in ("PATCH", "PUT"):
        plain = client.request(method, place, json=body | {"hidden": method == "PUT"})
        assert (plain.status_code, plain.json()["item_id"]) == (200, "a/%1")
        assert plain.headers["etag"] == f'"{plain.json()["version"]}"'
        ItemSummary.model_validate_json(plain.content)
        headers = {"If-Match": plain.headers["etag"]}
        by_fastapi = client.request(method, place, json=body | {"hidden": method == "PUT"}, headers=headers)
        assert by_fastapi.json() | {"request_id": ""} == plain.json() | {"request_id": ""}
        assert by_fastapi.headers.keys() == plain.headers.keys()
    receipt = client.post("/v1/items", json={"items": [{"item_id": "b", **body}, {"item_id": 3}]})
    assert [one.status for one in ItemReceipt.model_validate_json(receipt.content).results] == ["accepted", "rejected"]
    for bad in ("/v1/items/", f"/v1/items/{'x' * 600}", "/v1/items/a/b"):
        assert client.patch(bad, json=body).status_code in (404, 405, 422)
    assert client.post("/v1/items/a", json=body).status_code == 405


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"k": 1}', "application/json", 200),
        (b'{"k": 1}', "Application/JSON; charset=utf-8", 200),
        (b'{"k": 1}', "application/geo+json", 200),
        ('{"k": 1}'.encode("utf-16"), "application/json", 200),
        (b'{"k": 1}', "text/plain", 415),
        (b'{"k": 1', "application/json", 400),
        (b'{"k": 0}', "application/json", 422),
        (b"", "application/json", 422),
    ],
)
def test_what_is_not_plain_is_answered_as_fastapi_does(client: TestClient, body: bytes, kind: str, status: int) -> None:
    assert client.post(POST, content=body, headers={"Content-Type": kind}).status_code == status


def test_the_scope_is_looked_at_before_the_body(settings: Settings, chain: FallbackChain) -> None:
    key = new_key()
    guarded = settings.model_copy(update={"keys": str(entry_of(key, "shop", ["events"]))})
    with TestClient(create_app(guarded, only(chain))) as client:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        assert [client.post(POST, content=body, headers=headers).status_code for body in (b"{}", b"{")] == [403, 403]


def test_a_defect_is_a_problem_with_the_identity_of_its_request(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.ranking.engine.answer_all", lambda *_: 1 / 0)
    sent = client.post(POST, json={"k": 1}, headers={"X-Request-ID": "r1"})
    assert (sent.status_code, sent.json()["request_id"], sent.headers["x-request-id"]) == (500, "r1", "r1")


def test_a_body_in_parts_is_read_whole_and_one_that_breaks_off_is_nobodys() -> None:
    asked: list[dict] = []

    async def answer(body: Asked, services: object, access: Access) -> dict:
        asked.append(body.model_dump())
        return {}

    def sent_for(*messages: dict) -> list[dict]:
        left, sent = list(messages), []

        async def receive() -> dict:
            return left.pop(0)

        async def send(message: dict) -> None:
            sent.append(message)

        state = {"access": Access("r1", ANYBODY, RateLimits(None, None, Metrics())), "services": None}
        headers = [(b"content-type", b"application/json")]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/x",
            "query_string": b"",
            "headers": headers,
            "state": state,
        }
        asyncio.run(FastPath(nobody, [Line("/x", Asked, answer, "recommend")])(scope, receive, send))
        return sent

    async def nobody(*_: object) -> None:
        raise AssertionError("this was plain")

    first = {"type": "http.request", "body": b'{"k"', "more_body": True}
    assert sent_for(first, {"type": "http.request", "body": b": 3}"})[1]["body"] == b"{}"
    assert sent_for(first, {"type": "http.disconnect"}) == []
    assert asked == [{"k": 3}]
