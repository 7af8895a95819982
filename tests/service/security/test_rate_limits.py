"""One contract of rate limits, counted in memory and in Redis where a server is at hand."""

import asyncio
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import NoReturn
from uuid import uuid4

import pytest
import redis
from fastapi.testclient import TestClient

from recsys_vae.errors import ConfigError
from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.observability.metrics import Metrics
from service.security import rate_limits
from service.security.api_keys import entry_of, new_key
from service.security.rate_limits import RateLimits, Verdict, parse_rate
from service.security.sliding_log import SlidingLogs
from service.settings import Settings
from tests.service.tiny import only

REDIS = os.environ.get("RECSYS_TEST_REDIS", "redis://127.0.0.1:6379/0")
DOWN = "redis://127.0.0.1:1/0"


@pytest.fixture(params=["memory", "redis"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str | None]:
    """Where requests are counted: None for memory; in Redis under a prefix of this test's own."""
    if request.param == "memory":
        yield None
        return
    prefix = f"recsys-test-{uuid4().hex}"
    monkeypatch.setattr(rate_limits, "PREFIX", prefix)
    with redis.Redis.from_url(REDIS, socket_connect_timeout=3) as client:
        try:
            client.ping()
        except redis.RedisError:
            absent()
        yield REDIS
        for key in client.scan_iter(f"{prefix}*"):
            client.delete(key)


def absent() -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail("no Redis answers, and CI needs one")
    pytest.skip("no Redis answers")


def ask(limits: list[RateLimits], names: str, own_rate: str | None = None) -> list[Verdict]:
    """One request after the other, of callers with one-letter names, each to the next of the limits."""

    async def run() -> list[Verdict]:
        found = [await limits[i % len(limits)].check(name, own_rate) for i, name in enumerate(names)]
        for each in limits:
            await each.close()
        return [verdict for verdict in found if verdict is not None]

    return asyncio.run(run())


def test_a_caller_may_ask_as_often_as_its_rate_says_and_no_other_pays_for_it(place: str | None) -> None:
    found = ask([RateLimits("3/hour", place, Metrics())], "aaaabaa")
    assert [verdict.is_allowed for verdict in found] == [True, True, True, False, True, False, False]
    assert [verdict.remaining for verdict in found] == [2, 1, 0, 0, 2, 0, 0]
    assert {(verdict.amount, verdict.window_seconds) for verdict in found} == {(3, 3600)}
    assert all(1 <= verdict.reset_seconds <= 3600 for verdict in found)


def test_the_window_slides_so_that_room_comes_back(place: str | None) -> None:
    async def run() -> list[bool]:
        limits = RateLimits("2/second", place, Metrics())
        found = []
        for pause in (0, 0, 0, 2.1):
            await asyncio.sleep(pause)
            verdict = await limits.check("a")
            assert verdict is not None
            found.append(verdict.is_allowed)
        await limits.close()
        return found

    *_, last = asyncio.run(run())
    assert last


def test_workers_count_together_in_redis_and_apart_in_memory(place: str | None) -> None:
    workers = [RateLimits("4/hour", place, Metrics()) for _ in range(2)]
    allowed = [verdict.is_allowed for verdict in ask(workers, "a" * 8)]
    assert sum(allowed) == (8 if place is None else 4)


def test_a_key_may_have_a_rate_of_its_own(place: str | None) -> None:
    found = ask([RateLimits("1000/second", place, Metrics())], "aa", own_rate="1/hour")
    assert [verdict.is_allowed for verdict in found] == [True, False]


def test_bursts_on_both_sides_of_a_fixed_window_get_no_more_than_the_amount_into_a_sliding_one(
    place: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_700_000_000.0]
    monkeypatch.setattr("limits.aio.storage.redis.redispy.time", SimpleNamespace(time=lambda: now[0]))

    async def run() -> list[float]:
        limits, granted = RateLimits("50/10second", place, Metrics()), []
        limits._logs = SlidingLogs(lambda: now[0])
        for at in (9.0, 9.5, 11.0, 14.0, 18.5, 19.5, 20.0):
            now[0] = 1_700_000_000.0 + at
            for weight in (1, 1, 7) * 20:
                verdict = await limits.check("a", weight=weight)
                assert verdict is not None
                granted += [at] * weight if verdict.is_allowed else []
        await limits.close()
        return granted

    granted = asyncio.run(run())
    assert max(sum(start <= at < start + 10 for at in granted) for start in granted) == 50
    assert len(granted) == 100


def test_without_a_rate_nothing_is_counted(place: str | None) -> None:
    assert ask([RateLimits(None, place, Metrics())], "aaaa") == []


def test_redis_down_serves_uncounted_says_so_and_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    limits = RateLimits("1/hour", DOWN, metrics)
    asked = []
    whole = limits._ask
    monkeypatch.setattr(limits, "_ask", lambda *asks: asked.append(asks[2]) or whole(*asks))
    assert ask([limits], "aaaaa") == []
    assert asked == ["a"]
    assert b"recsys_rate_limit_unchecked_total 5.0" in metrics.text()


@pytest.mark.parametrize("text", ["", "10", "10/fortnight", "0/second", "-1/second", "ten/second", "1/second;2/hour"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no rate"):
        parse_rate(text)


def test_an_address_that_is_no_redis_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigError, match="no URL of Redis") as caught:
        RateLimits("1/hour", "http://:geheim@host", Metrics())
    assert "geheim" not in str(caught.value)


def test_over_http_it_is_a_problem_with_the_time_to_wait_and_health_is_never_limited(
    settings: Settings, chain: FallbackChain
) -> None:
    key, patient = new_key(), new_key()
    entries = f"{entry_of(key, 'hasty', ['recommend'])};{entry_of(patient, 'patient', ['metrics'], '9/hour')}"
    limited = settings.model_copy(update={"keys": entries, "rate_limit": "2/hour"})
    with TestClient(create_app(limited, only(chain))) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        answers = [client.post("/v1/recommendations", json={"k": 2}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        refused = answers[2]
        assert refused.json()["type"] == "urn:recsys:problem:rate-limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 3600
        assert refused.headers["ratelimit-policy"] == '"key";q=2;w=3600'
        assert answers[0].headers["ratelimit"].startswith('"key";r=1;t=')
        assert {client.get("/health/ready").status_code for _ in range(5)} == {200}
        metrics = client.get("/metrics", headers={"Authorization": f"Bearer {patient}"})
        assert metrics.headers["ratelimit-policy"] == '"key";q=9;w=3600'
        assert 'recsys_rate_limited_requests_total{key="hasty"} 1.0' in metrics.text


HEAVY = {"history": ["a"] * 1000, "k": 1000, "diversity": 0.5}


@pytest.mark.parametrize("kind", ["application/json", "application/x+json"], ids=["fast", "plain"])
def test_requests_are_weighed_by_the_work_they_make(settings: Settings, chain: FallbackChain, kind: str) -> None:
    key = new_key()
    entries = str(entry_of(key, "shop", ["recommend", "events"], "1000/hour"))
    with TestClient(create_app(settings.model_copy(update={"keys": entries}), only(chain))) as client:
        client.headers.update({"Authorization": f"Bearer {key}", "Content-Type": kind})

        def left(address: str, body: dict) -> tuple[int, int]:
            answer = client.post(address, json=body)
            return answer.status_code, int(re.search(r"r=(\d+)", answer.headers["ratelimit"])[1])

        one, many, events = "/v1/recommendations", "/v1/recommendations:batch", "/v1/events"
        assert left(one, {"k": 1}) == (200, 999)
        assert left(many, {"requests": [{"k": 1}] * 10}) == (200, 989)
        assert left(many, {"requests": [{"k": 0}, {"k": 1}]}) == (200, 987)
        assert left(events, {"events": [{"user_id": "u", "item_id": "a"}] * 100}) == (200, 985)
        assert left(one, HEAVY) == (200, 582)
        refused = client.post(many, json={"requests": [HEAVY] * 2})
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:recsys:problem:rate-limited")
        assert "this one counts as 805" in refused.json()["detail"]
        assert 1 <= int(refused.headers["retry-after"]) <= 3600
        assert left(one, {"k": 1}) == (200, 580)  # what is refused counts as the one request that it is


def test_a_request_of_more_than_the_whole_limit_fits_an_empty_one(settings: Settings, chain: FallbackChain) -> None:
    key = new_key()
    entries = str(entry_of(key, "shop", ["recommend"], "5/hour"))
    with TestClient(create_app(settings.model_copy(update={"keys": entries}), only(chain))) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        assert [client.post("/v1/recommendations", json=HEAVY).status_code for _ in range(2)] == [200, 429]


def test_a_verdict_tells_how_long_to_wait_only_where_it_refuses() -> None:
    verdict = Verdict(is_allowed=True, amount=5, window_seconds=60, remaining=4, reset_seconds=30)
    assert b"retry-after" not in dict(verdict.headers)
    assert dict(replace(verdict, is_allowed=False).headers)[b"retry-after"] == b"30"
