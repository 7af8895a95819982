import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from recsys_vae.errors import RecsysError
from service.client.client import AsyncClient, Client, Retries, ServiceError
from service.schemas.events import NewEvent
from service.schemas.recommendations import RecommendationRequest
from tests.service.tiny import HISTORIES

URL = "http://service.test"
BUSY = {"type": "urn:recsys:problem:overloaded", "title": "Service Unavailable", "status": 503, "detail": "Busy.",
        "request_id": "r1"}  # fmt: skip
ANSWER = {"request_id": "r1", "variant": "main", "model_version": "m-1", "tier": "history", "scorer": "ease",
          "warnings": [], "next_cursor": None,
          "items": [{"rank": 1, "item_id": "a", "score": 0.5, "source": "history"}]}  # fmt: skip
REQUEST = RecommendationRequest(history=["a"], k=1)

Act = Callable[[Any], Any]


class Script:
    """A server that goes through what it is told to answer; the last line again and again."""

    def __init__(self, *lines: httpx2.Response | Exception) -> None:
        self.lines = list(lines)
        self.heard: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.heard.append(request)
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        if isinstance(line, Exception):
            raise line
        return httpx2.Response(line.status_code, headers=line.headers, content=line.content)


def ask_sync(script: Script, act: Act, **options: Any) -> Any:
    http = httpx2.Client(base_url=URL, transport=httpx2.MockTransport(script))
    with Client(http=http, **options) as client:
        return act(client)


def ask_async(script: Script, act: Act, **options: Any) -> Any:
    async def ask() -> Any:
        http = httpx2.AsyncClient(base_url=URL, transport=httpx2.MockTransport(script))
        async with AsyncClient(http=http, **options) as client:
            return await act(client)

    return asyncio.run(ask())


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What would have been waited, instead of waiting."""
    waited: list[float] = []

    async def note(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(time, "sleep", waited.append)
    monkeypatch.setattr(asyncio, "sleep", note)
    return waited


def answered(body: object = ANSWER, status: int = 200, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json=body, headers={name.replace("_", "-"): text for name, text in headers.items()})


def test_the_running_service_is_asked_and_understood(client: TestClient) -> None:
    service = Client(http=client)
    assert service.is_ready()
    found = service.recommend(RecommendationRequest(history=list(HISTORIES["u0"]), k=4))
    assert found.items == service.recommend_to_user("u0", 4).items
    assert len(service.recommend_to_user("u0").items) == 5
    assert service.bundle().model_version == found.model_version
    assert [item.rank for item in service.similar("a", 2).items] == [1, 2]


def test_events_are_in_the_next_answer_shown_and_erased(client: TestClient) -> None:
    service = Client(http=client)
    events = [NewEvent(user_id="new/one", item_id="a"), NewEvent(user_id="new/one", item_id="b", event_type="click")]
    assert service.send_events(events, idempotency_key="k1").accepted == 2
    assert service.send_events(events, idempotency_key="k1").duplicates == 2
    assert service.send_events(events[:1]).accepted == 1  # another key, another event
    assert service.recommend_to_user("new/one", 2).tier == "history"
    assert [event.item_id for event in service.show_user("new/one", limit=2).history] == ["a", "b"]
    assert service.erase_user("new/one").erased == 3
    assert service.show_user("new/one").events == 0


def test_many_requests_in_one_get_each_a_list_or_a_problem(client: TestClient) -> None:
    cursor = RecommendationRequest(history=["a"], cursor="nonsense")
    found = Client(http=client).recommend_to_many([REQUEST, cursor])
    assert found.results[0].answer is not None
    assert found.results[1].answer is None
    assert found.results[1].problem is not None


def test_every_attempt_to_send_events_has_the_same_key(ask: Callable[..., Any], waits: list[float]) -> None:
    receipt = {"request_id": "r1", "accepted": 1, "duplicates": 0, "rejected": 0, "results": []}
    script = Script(httpx2.ReadError("reset"), answered(receipt))
    found = ask(script, lambda client: client.send_events([NewEvent(user_id="u", item_id="a")]))
    assert (found.accepted, len(waits)) == (1, 1)
    assert [json.loads(heard.content) for heard in script.heard] == [{"events": [{"user_id": "u", "item_id": "a"}]}] * 2
    assert len({heard.headers["idempotency-key"] for heard in script.heard}) == 1


def test_a_problem_becomes_an_error_that_carries_it(client: TestClient) -> None:
    with pytest.raises(ServiceError, match=r"GET http://.*/v1/items/a%2Fb/similar .* 404 .* holds no item") as caught:
        Client(http=client).similar("a/b")
    error = caught.value
    assert isinstance(error, RecsysError)
    assert error.problem is not None
    assert (error.status, error.problem.type) == (404, "urn:recsys:problem:unknown-item")
    assert error.request_id == error.problem.request_id
    assert not error.is_passing


def test_what_is_sent_is_what_was_set_with_key_and_identity(ask: Callable[..., Any]) -> None:
    script = Script(answered())
    ask(script, lambda client: client.recommend(REQUEST), api_key="rsk_secret")
    (heard,) = script.heard
    assert (heard.method, str(heard.url)) == ("POST", f"{URL}/v1/recommendations")
    assert json.loads(heard.content) == {"history": ["a"], "k": 1}
    assert heard.headers["authorization"] == "Bearer rsk_secret"
    assert len(heard.headers["x-request-id"]) == 32


def test_without_a_key_none_is_sent(ask: Callable[..., Any]) -> None:
    script = Script(answered())
    ask(script, lambda client: client.recommend_to_user("x/y z"))
    assert "authorization" not in script.heard[0].headers
    assert script.heard[0].url.raw_path == b"/v1/users/x%2Fy%20z/recommendations"


@pytest.mark.parametrize(
    "failure",
    [
        answered(BUSY, 503, retry_after="2"),
        answered(BUSY, 429, retry_after="2"),
        answered(BUSY, 503, retry_after=format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)),
        httpx2.ConnectError("refused"),
        httpx2.ConnectTimeout("too late"),
        httpx2.ReadError("reset"),
        httpx2.RemoteProtocolError("closed"),
    ],
    ids=["503", "429", "503-date", "refused", "no-connection", "reset", "closed"],
)
def test_passing_failures_are_tried_again_under_one_identity(
    ask: Callable[..., Any], waits: list[float], failure: httpx2.Response | Exception
) -> None:
    script = Script(failure, failure, answered())
    patient = Retries(base_seconds=1.0, patience_seconds=1e6)
    found = ask(script, lambda client: client.recommend(REQUEST), retries=patient)
    assert [item.item_id for item in found.items] == ["a"]
    assert len({heard.headers["x-request-id"] for heard in script.heard}) == 1
    said = failure.headers.get("retry-after", "0") if isinstance(failure, httpx2.Response) else "0"
    asked = float(said) if said.isdecimal() else 86_000
    assert len(waits) == 2
    for attempt, wait in enumerate(waits, start=1):
        assert asked <= wait <= asked + 400 + 2 ** (attempt - 1)


def test_waits_are_drawn_and_grow_up_to_a_cap() -> None:
    retries, failure = Retries(attempts=20, base_seconds=1.0, cap_seconds=8.0), ServiceError("busy", is_passing=True)
    longest = [max(retries.wait(failure, attempt) for _ in range(500)) for attempt in (1, 2, 3, 10)]
    for found, bound in zip(longest, (1, 2, 4, 8), strict=True):
        assert 0.9 * bound < found <= bound


def test_it_gives_up_after_the_last_attempt(ask: Callable[..., Any], waits: list[float]) -> None:
    script = Script(answered(BUSY, 503))
    with pytest.raises(ServiceError, match="Busy") as caught:
        ask(script, lambda client: client.recommend(REQUEST), retries=Retries(attempts=3))
    assert (len(script.heard), len(waits), caught.value.status) == (3, 2, 503)


def test_a_longer_wait_than_its_patience_is_not_waited(ask: Callable[..., Any], waits: list[float]) -> None:
    script = Script(answered(BUSY, 429, retry_after="3600"))
    with pytest.raises(ServiceError) as caught:
        ask(script, lambda client: client.recommend(REQUEST))
    assert (len(script.heard), waits, caught.value.retry_after) == (1, [], 3600.0)


@pytest.mark.parametrize("failure", [answered({**BUSY, "status": 422}, 422), httpx2.ReadTimeout("slow")])
def test_what_will_not_pass_is_not_repeated(
    ask: Callable[..., Any], waits: list[float], failure: httpx2.Response | Exception
) -> None:
    script = Script(failure)
    with pytest.raises(ServiceError):
        ask(script, lambda client: client.recommend(REQUEST))
    assert (len(script.heard), waits) == (1, [])


@pytest.mark.parametrize(
    "strange", [httpx2.Response(502, text="<html>\n  Bad gateway</html>"), httpx2.Response(200, text="hello")]
)
def test_what_something_else_answers_is_told(ask: Callable[..., Any], strange: httpx2.Response) -> None:
    with pytest.raises(ServiceError, match=r"Bad gateway|'hello'.*belong to recsys_vae") as caught:
        ask(Script(strange), lambda client: client.bundle())
    assert (caught.value.status, caught.value.problem) == (strange.status_code, None)


def test_a_newer_service_is_understood(ask: Callable[..., Any]) -> None:
    newer = {**ANSWER, "variant": "b", "items": [{**ANSWER["items"][0], "shine": ["x"]}]}
    found = ask(Script(answered(newer)), lambda client: client.recommend(REQUEST))
    assert found.items[0].item_id == "a"


@pytest.mark.parametrize(
    ("line", "is_ready"),
    [(answered({"status": "ok"}), True), (answered(BUSY, 503), False), (httpx2.ConnectError("refused"), False)],
)
def test_readiness_is_asked_once(ask: Callable[..., Any], line: httpx2.Response | Exception, is_ready: bool) -> None:
    script = Script(line)
    assert ask(script, lambda client: client.is_ready()) is is_ready
    assert len(script.heard) == 1


def test_no_service_at_all_is_one_sentence() -> None:
    with Client("http://127.0.0.1:9", retries=Retries(attempts=1)) as client:
        with pytest.raises(ServiceError, match=r"got no answer.*Check the address") as caught:
            client.bundle()
        assert caught.value.status is None
