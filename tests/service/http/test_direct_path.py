"""What is answered past the application is answered as the application would."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from recsys_vae.recommender import FallbackChain
from service.errors import OverloadedError
from service.http.dependencies import Services
from service.http.direct_path import DirectPath, HistoryOnly, Taken
from service.http.plain_requests import Heads, read_body
from service.http.protocol import ServerProtocol
from service.ranking.micro_batcher import Batcher
from service.schemas.recommendations import RecommendationRequest
from service.security.api_keys import entry_of, new_key
from service.settings import Settings
from tests.service.http.test_load_shedding import Answer, Connection, ask, play

LONG_WAY = "X-Nobody-Reads: this"
"""A header by which a request is no plain one, and nothing else changes."""


def request(body: bytes = b"{}", *headers: str, length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    own = [f"Content-Length: {length}", "Host: localhost", "Content-Type: application/json", "Accept: */*", *headers]
    return "\r\n".join(["POST /v1/recommendations HTTP/1.1", *own, "", ""]).encode() + body


def seen(answer: Answer) -> tuple[int, list[str], object]:
    """What both ways must have in common: all but the date and the identity."""
    status, headers, body = answer
    content = json.loads(body)
    assert content.pop("request_id") == headers["x-request-id"]
    return status, sorted(f"{name}: {headers[name]}" for name in headers.keys() - {"date", "x-request-id"}), content


class Watched:
    """Which requests were taken."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken = self.by_history_only = 0
        take = DirectPath.take

        def counted(path: DirectPath, data: bytes, services: Services) -> Taken | None:
            found = take(path, data, services)
            self.taken += found is not None
            self.by_history_only += found is not None and isinstance(found.asked, HistoryOnly)
            return found

        monkeypatch.setattr(DirectPath, "take", counted)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


def both_ways(
    settings: Settings, chain: FallbackChain, bodies: list[bytes], *headers: str
) -> list[tuple[tuple[int, list[str], object], tuple[int, list[str], object]]]:
    found = []

    async def scenario(host: str, port: int, running: uvicorn.Server) -> None:
        for body in bodies:
            direct = await asyncio.open_connection(host, port)
            other = await asyncio.open_connection(host, port)
            asked = [await ask(direct, request(body, *headers)), await ask(other, request(body, *headers, LONG_WAY))]
            found.append(tuple(map(seen, asked)))
            direct[1].close()
            other[1].close()

    play(settings, chain, scenario)
    return found


PLAIN = [
    {}, {"k": 3}, {"history": ["a", "b"]}, {"history": ["a", "nowhere", "a"], "k": 2}, {"user_id": "u0"},
    {"history": ["a"], "exclude": ["b"], "k": 1000}, {"history": [{"item_id": "a", "weight": 2}], "explain": True},
    {"history": ["a"], "filter": {"op": "eq", "column": "genre", "value": "drama"}, "fields": ["year"]},
    {"user_id": "nobody", "repeat": "allow"}, {"history": []}, {"history": ["é", "\u2028", "\"\\"]},
]  # fmt: skip
FAILING = [{"k": 3, "cursor": "Abcd"}, {"filter": {"op": "eq", "column": "none", "value": 1}}, {"fields": ["none"]}]
REFUSED = [b"", b"{", b"[]", b'{"k": 0}', b'{"no": 1}', b'{"history": [1]}', b'{"k": 1} {}', b'{"history": ["\xff"]}']


def test_an_answer_is_the_same_by_both_ways(settings: Settings, chain: FallbackChain, watched: Watched) -> None:
    bodies = [json.dumps(asked).encode() for asked in (*PLAIN, *FAILING)]
    for direct, other in both_ways(settings, chain, bodies):
        assert direct == other
    assert watched.taken == len(bodies)


HISTORIES = [
    b'{"history": ["a", "b"], "k": 3}', b'{"history":["a","b"],"k":3}', b'{"history": ["a","nowhere", "b"]}',
    b'{"history": ["a"], "k": 100}', b'{"history": ["nowhere"]}', b'{"history": ["a, b", "c"]}',
    b'{"history": ["007", ", ", "7"]}', b'{"history":[",",",,","a"]}', b'{"history": [", , ", "a"]}',
]  # fmt: skip
OTHERS = [
    b'{"history": [], "k": 3}', b'{"history": ["a", "a"]}', b'{"history": ["a"], "k": 101}',
    b'{"k": 3, "history": ["a"]}',
    b'{"history": ["a"], "k": 3, "seen": "allow"}', b'{"history": ["a"]} ', b'{"history": ["\\u0061"]}',
    b'{"history": ["\xc3\xa9"]}', b'{"history": ["a"], "user_id": "u0"}', b'{"history": ["a"],\n"k": 3}',
    json.dumps({"history": [str(number) for number in range(501)]}).encode(),
]  # fmt: skip


def test_a_history_alone_is_answered_at_once_and_the_same(
    settings: Settings, chain: FallbackChain, watched: Watched
) -> None:
    for direct, other in both_ways(settings, chain, [*HISTORIES, *OTHERS]):
        assert direct == other
        assert direct[0] == 200
    assert watched.by_history_only == len(HISTORIES)


@pytest.mark.parametrize("changed", [{"exposures": "on"}, {"explore_share": 0.5}])
def test_where_more_is_to_be_seen_to_nothing_is_answered_at_once(
    settings: Settings, chain: FallbackChain, changed: dict[str, object], watched: Watched
) -> None:
    both_ways(settings.model_copy(update=changed), chain, HISTORIES)
    assert (watched.taken, watched.by_history_only) == (len(HISTORIES), 0)


@given(
    st.lists(st.text("ab\"\\ ,[]{}é\x00\x7f", max_size=4), max_size=4),
    st.integers(0, 1200), st.sampled_from([",", ", "]), st.binary(max_size=2), st.integers(0, 60),
)  # fmt: skip
def test_a_body_that_is_read_at_a_glance_says_what_the_schema_reads(
    ids: list[str], k: int, comma: str, other: bytes, place: int
) -> None:
    body = json.dumps({"history": ids, "k": k}, separators=(comma, ":"), ensure_ascii=False).encode()
    for text in (body, body[:place] + other + body[place + len(other) :]):
        found = read_body(text)
        if found is not None:
            asked = RecommendationRequest.model_validate_json(text)
            assert (list(found[0]), found[1]) == (asked.history, asked.k)
            assert asked.model_fields_set <= {"history", "k"}


@pytest.mark.parametrize("body", HISTORIES)
def test_what_the_engine_refuses_is_told_by_both_ways(
    settings: Settings, chain: FallbackChain, body: bytes, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OverloadedError

    monkeypatch.setattr(Batcher, "enqueue", refuse)
    ((direct, other),) = both_ways(settings, chain, [body])
    assert direct == other
    assert direct[0] == 503
    assert watched.by_history_only == 1


def test_what_fails_while_a_batch_is_computed_is_told_by_both_ways(
    settings: Settings, chain: FallbackChain, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    monkeypatch.setattr("service.ranking.engine.answer_all", lambda *_: 1 / 0)
    for direct, other in both_ways(settings, chain, HISTORIES):
        assert direct == other
        assert direct[0] == 500
    assert watched.by_history_only == len(HISTORIES)


def test_a_connection_is_kept_until_nothing_has_come_for_so_long(settings: Settings, chain: FallbackChain) -> None:
    async def scenario(host: str, port: int, running: uvicorn.Server) -> None:
        reader, writer = connection = await asyncio.open_connection(host, port)
        await ask(connection, request())
        (served,) = running.server_state.connections
        assert isinstance(served, ServerProtocol)
        timer = served.timeout_keep_alive_task
        assert timer is not None
        await ask(connection, request())
        assert served.timeout_keep_alive_task is timer  # not set anew with each answer
        served.timeout_keep_alive_handler()
        assert served.timeout_keep_alive_task is not timer
        assert (await ask(connection, request()))[0] == 200
        served._waits_since = -math.inf
        served.timeout_keep_alive_handler()
        assert await reader.read() == b""
        writer.close()

    play(settings, chain, scenario)


def test_what_is_wrong_with_a_body_is_said_the_long_way(
    settings: Settings, chain: FallbackChain, watched: Watched
) -> None:
    for direct, other in both_ways(settings, chain, REFUSED):
        assert direct == other
        assert direct[0] in (400, 422)
    assert watched.taken == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"hosts": ("shop.example",)}, {"max_headers": 3}, {"max_body_bytes": 1024, "cors_origins": ("*",)},
        {"rate_limit": "1/hour"}, {"rate_limit": "100/hour"},
    ],
)  # fmt: skip
def test_limits_hold_by_both_ways(
    settings: Settings, chain: FallbackChain, changed: dict[str, object], watched: Watched
) -> None:
    limited = settings.model_copy(update=changed)
    bodies = [b"{}", json.dumps({"history": ["x" * 500] * 3}).encode()]
    for (status, headers, _), (other, its_headers, _) in both_ways(limited, chain, bodies):
        assert status == other or "rate_limit" in changed
        assert status in (200, 413, 421, 429, 431)
        if "rate_limit" not in changed:
            assert headers == its_headers
    assert watched.taken == (1 if "cors_origins" in changed else 0)


def test_keys_and_scopes_are_asked_for(settings: Settings, chain: FallbackChain, watched: Watched) -> None:
    right, wrong = new_key(), new_key()
    entries = f"{entry_of(right, 'shop', ['recommend'])};{entry_of(wrong, 'till', ['events'])}"
    guarded = settings.model_copy(update={"keys": entries})
    cases = {right: 200, wrong: 403, "unknown": 401}
    for key, status in cases.items():
        for direct, other in both_ways(guarded, chain, [b"{}"], f"Authorization: Bearer {key}"):
            assert direct == other
            assert direct[0] == status
    assert [one[0] for pair in both_ways(guarded, chain, [b"{}"]) for one in pair] == [401, 401]
    told = both_ways(guarded, chain, [b'{"user_id": "u0", "explain": true}'], f"Authorization: Bearer {right}")
    assert [one[0] for one in told[0]] == [403, 403]
    assert watched.taken == 2


NOT_PLAIN = [
    request().replace(b"POST", b"post"),
    request().replace(b"HTTP/1.1", b"HTTP/1.0"),
    request().replace(b"/v1/recommendations", b"/v1/recommendations?k=1"),
    request().replace(b"/v1/recommendations", b"//v1/recommendations"),
    request().replace(b"Host: localhost", b"Host: localhost\r\nHost: localhost"),
    request().replace(b"Host: localhost", b"Host : localhost"),
    request().replace(b"Host: localhost", b"Host: local\x00host"),
    request().replace(b"Host: localhost", b"Host: a\r\n b"),
    request().replace(b"Host: localhost\r\n", b""),
    request().replace(b"\r\nHost", b"\nHost"),
    request(b"{}", "Content-Length: 2"),
    request(b"{}", "Transfer-Encoding: chunked"),
    request(b"{}", "Transfer-Encoding : chunked"),
    request(b"{}", "Expect: 100-continue"),
    request(b"{}", "Connection: close"),
    request(b"{}", "Connection: upgrade"),
    request(b"{}", "Upgrade: h2c"),
    request(b"{}", "Origin: https://evil.example"),
    request(b"{}", "Sec-Fetch-Site: cross-site"),
    request(b"{}", "X-Recsys-Variant: main"),
    request(b"{}", "If-Match: x"),
    request(b"{}", "Content-Encoding: gzip"),
    request(b"{}", "Cookie: a=b"),
    request(b"{}", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    request(b"{}", "Content-Type: text/plain"),
    request().replace(b"application/json", b"text/plain"),
    request().replace(b": 2\r\n", b": +2\r\n"),
    request().replace(b": 2\r\n", b": 0x2\r\n"),
    request(b"{}{", length=2),
    request(b"{}", length=3),
    request(b"{}", "Accept: " + "x" * 5000),
    request() + request(),
    request()[:-1],
    request()[:20],
    b"",
]


@pytest.mark.parametrize("data", NOT_PLAIN)
def test_whatever_is_not_plain_is_left_to_the_server(data: bytes) -> None:
    heads = Heads()
    assert heads.read(data) is None
    assert heads.read(data) is None  # remembered or not
    assert heads.read(request()) is not None


def test_heads_are_remembered_but_for_what_is_secret_or_comes_once() -> None:
    heads = Heads()
    for data in (request(b"{}", "Authorization: Bearer secret"), request(b"{}", "X-Request-ID: mine")):
        assert heads.read(data) is not None
    assert not heads._known
    first, second = heads.read(request(b"[1]")), heads.read(request(b"[2]"))
    assert first is not None
    assert second is not None
    assert first[0] is second[0]
    assert (first[1], second[1]) == (b"[1]", b"[2]")


Scenario = Callable[[str, int, uvicorn.Server], Awaitable[None]]


def test_requests_that_come_early_are_answered_in_their_order(
    settings: Settings, chain: FallbackChain, watched: Watched
) -> None:
    async def scenario(host: str, port: int, running: uvicorn.Server) -> None:
        reader, writer = connection = await asyncio.open_connection(host, port)
        for k in (1, 2, 3):
            writer.write(request(json.dumps({"k": k}).encode(), f"X-Request-ID: r{k}"))
            await writer.drain()
            await asyncio.sleep(0)
        for k in (1, 2, 3):
            assert (await ask(connection, b""))[1]["x-request-id"] == f"r{k}"
        assert (await ask((reader, writer), request(b"{}", LONG_WAY)))[0] == 200
        assert (await ask((reader, writer), request(b"{}")))[0] == 200
        writer.close()

    play(settings, chain, scenario)
    assert watched.taken


def test_a_stop_lets_what_is_under_way_be_answered(settings: Settings, chain: FallbackChain, watched: Watched) -> None:
    async def scenario(host: str, port: int, running: uvicorn.Server) -> None:
        connection: Connection = await asyncio.open_connection(host, port)
        connection[1].write(request())
        while not watched.taken:
            await asyncio.sleep(0)
        running.should_exit = True
        assert (await ask(connection, b""))[0] == 200
        assert await connection[0].read() == b""
        connection[1].close()

    play(settings, chain, scenario)


def test_a_client_that_is_gone_disturbs_nobody(settings: Settings, chain: FallbackChain, watched: Watched) -> None:
    async def scenario(host: str, port: int, running: uvicorn.Server) -> None:
        gone: Connection = await asyncio.open_connection(host, port)
        gone[1].write(request())
        gone[1].transport.abort()
        connection = await asyncio.open_connection(host, port)
        assert (await ask(connection, request()))[0] == 200
        connection[1].close()

    play(settings, chain, scenario)
