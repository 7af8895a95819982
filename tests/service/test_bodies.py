import json

import pytest
from fastapi.testclient import TestClient

from recsys_vae.ladder import Ladder
from service.app import create_app
from service.auth import entry_of, new_key
from service.recommendation_schemas import BatchAnswer, Recommendations
from service.settings import Settings
from tests.service.tiny import only

POST = "/v1/recommendations"


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
def test_a_body_that_is_not_read_at_once_is_answered_as_fastapi_does(
    client: TestClient, body: bytes, kind: str, status: int
) -> None:
    assert client.post(POST, content=body, headers={"Content-Type": kind}).status_code == status


def test_the_scope_is_looked_at_before_the_body(settings: Settings, ladder: Ladder) -> None:
    key = new_key()
    guarded = settings.model_copy(update={"keys": str(entry_of(key, "shop", ["events"]))})
    with TestClient(create_app(guarded, only(ladder))) as client:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        assert [client.post(POST, content=body, headers=headers).status_code for body in (b"{}", b"{")] == [403, 403]
