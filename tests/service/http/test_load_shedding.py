"""The gate as uvicorn runs it, on a socket."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

import pytest
import uvicorn

from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.http.load_shedding import is_whole_request
from service.http.protocol import ServerProtocol
from service.server import uvicorn_server
from service.settings import Settings
from tests.service.tiny import only

BODY = b'{"k": 2}'
HEAD = b"POST /v1/recommendations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
WHOLE = HEAD + b"Content-Length: 8\r\n\r\n" + BODY
Answer = tuple[int, dict[str, str], bytes]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.mark.parametrize(
    "data",
    [
        b"GET /v1/recommendations HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nContent-Length: 8\r\n\r\n" + BODY,
        b"POST /v1/recommendations?a=b HTTP/1.1\r\nContent-Length: 8\r\n\r\n" + BODY,
        b"POST /v1/recommendations HTTP/1.0\r\nContent-Length: 8\r\n\r\n" + BODY,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n8\r\n" + BODY + b"\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 8\r\n\r\n",
        HEAD + b"Content-Length: 8\r\n",
        WHOLE[:-1], WHOLE + b"P", WHOLE + WHOLE, b"",
    ],
)  # fmt: skip
def test_only_whole_requests_for_recommendations_are_turned_away(data: bytes) -> None:
    assert not is_whole_request(data)


def test_a_length_counts_in_the_head_only_and_in_any_case() -> None:
    assert is_whole_request(WHOLE)
    assert is_whole_request(WHOLE.replace(b"Content-Length", b"content-length"))
    assert is_whole_request(WHOLE.replace(b"recommendations", b"recommendations:batch"))
    assert not is_whole_request(HEAD + b"\r\n\r\ncontent-length: 0\r\n")


async def ask(connection: Connection, data: bytes) -> Answer:
    reader, writer = connection
    writer.write(data)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


def play(
    settings: Settings, chain: FallbackChain, scenario: Callable[[str, int, uvicorn.Server], Awaitable[None]]
) -> None:
    """Run a scenario against a real uvicorn_server, in one event loop."""

    async def run() -> None:
        app = create_app(settings, only(chain))
        running = uvicorn.Server(uvicorn.Config(app, http=ServerProtocol, log_config=None, access_log=False))
        listener = uvicorn_server.listen("127.0.0.1", 0)
        serving = asyncio.create_task(running.serve([listener]))
        while not running.started:
            await asyncio.sleep(0.01)
        try:
            await scenario(*listener.getsockname()[:2], running)
        finally:
            running.should_exit = True
            await serving

    asyncio.run(run())


SHOP = "https://shop.example"


@pytest.mark.parametrize("allowed", [(SHOP,), ("*",), ()])
@pytest.mark.parametrize("origin", [SHOP, "https://evil.example", None])
def test_a_page_may_read_a_refusal_as_it_may_read_an_answer(
    settings: Settings, chain: FallbackChain, allowed: tuple[str, ...], origin: str | None
) -> None:
    request = WHOLE if origin is None else WHOLE.replace(b"Host", b"ORIGIN:  " + origin.encode() + b" \r\nHost")

    async def scenario(host: str, port: int, running: uvicorn.Server) -> None:
        connection = await asyncio.open_connection(host, port)
        status, answered, _ = await ask(connection, request)
        assert status == (200 if origin is None or origin in allowed or "*" in allowed else 403)
        under_way = asyncio.create_task(asyncio.sleep(10))
        running.server_state.tasks.add(under_way)
        status, refused, _ = await ask(connection, request)
        assert (status, refused["retry-after"]) == (503, "1")
        assert cross_origin(refused) == cross_origin(answered)
        if origin == SHOP and allowed:
            assert refused["access-control-allow-origin"] == allowed[0]
            assert "Retry-After" in refused["access-control-expose-headers"]
        else:
            assert ("access-control-allow-origin" in refused) == (allowed == ("*",) and origin is not None)
        running.server_state.tasks.discard(under_way)
        under_way.cancel()
        connection[1].close()

    play(settings.model_copy(update={"max_queue": 1, "cors_origins": allowed}), chain, scenario)


def test_what_stands_in_a_body_is_no_header(settings: Settings, chain: FallbackChain) -> None:
    body = f"{{\r\norigin: {SHOP}\r\nx-request-id: mine\r\n}}".encode()
    request = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def scenario(host: str, port: int, running: uvicorn.Server) -> None:
        connection = await asyncio.open_connection(host, port)
        assert (await ask(connection, WHOLE))[0] == 200
        under_way = asyncio.create_task(asyncio.sleep(10))
        running.server_state.tasks.add(under_way)
        status, headers, _ = await ask(connection, request)
        assert (status, headers["x-request-id"] == "mine") == (503, False)
        assert "access-control-allow-origin" not in headers
        running.server_state.tasks.discard(under_way)
        under_way.cancel()
        connection[1].close()

    play(settings.model_copy(update={"max_queue": 1, "cors_origins": (SHOP,)}), chain, scenario)


def cross_origin(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("access-control-") or name == "vary"}


def test_one_too_many_is_told_so_and_its_connection_stays(
    settings: Settings, chain: FallbackChain, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.observability.tally.SECONDS_A_LINE", 0.01)
    caplog.set_level(logging.WARNING, "recsys.service")

    async def scenario(host: str, port: int, running: uvicorn.Server) -> None:
        connection = await asyncio.open_connection(host, port)
        assert (await ask(connection, WHOLE))[0] == 200
        under_way = asyncio.create_task(asyncio.sleep(10))
        running.server_state.tasks.add(under_way)
        named = WHOLE.replace(b"Host", b"X-Request-ID: mine\r\nHost")
        for _ in range(2):
            status, headers, body = await ask(connection, named)
            assert status == 503
            assert headers["content-type"] == "application/problem+json"
            assert (headers["retry-after"], headers["x-request-id"]) == ("1", "mine")
            assert headers["x-content-type-options"] == "nosniff"
            problem = json.loads(body)
            assert (problem["type"], problem["request_id"]) == ("urn:recsys:problem:overloaded", "mine")
        health = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert (await ask(connection, health))[0] == 200
        writer = connection[1]
        writer.write(WHOLE[:20])  # a request that comes in pieces is the application's
        await asyncio.sleep(0.02)
        status, _, _ = await ask(connection, WHOLE[20:])
        assert status == 200
        running.server_state.tasks.discard(under_way)
        under_way.cancel()
        status, headers, _ = await ask(connection, WHOLE)
        assert (status, headers["x-request-id"] != "mine") == (200, True)
        metrics = (await ask(connection, health.replace(b"/health/ready", b"/metrics")))[2].decode()
        assert 'recsys_queue_refused_requests_total{reason="overloaded"} 2.0' in metrics
        counted = 'recsys_request_seconds_count{method="POST",route="/v1/recommendations",status="503",tier=""} 2.0'
        assert counted in metrics
        await asyncio.sleep(0.03)
        writer.close()

    play(settings.model_copy(update={"max_queue": 1}), chain, scenario)
    assert "2 requests were turned away: too many were under way." in caplog.messages


MALFORMED = [
    (b"nonsense\r\n\r\n", 400),
    (b"GET /health/live HTTP/1.1\r\n\r\n", 400),  # without a Host
    (b"GET /health/live HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", 400),
    (b"GET /h\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (HEAD + b"Content-Length: x\r\n\r\n", 400),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000, 431),
]


def test_what_is_no_http_is_told_as_everything_else_is(settings: Settings, chain: FallbackChain) -> None:
    async def scenario(host: str, port: int, _: uvicorn.Server) -> None:
        for data, status in MALFORMED:
            connection = await asyncio.open_connection(host, port)
            found, headers, body = await ask(connection, data)
            problem = json.loads(body)
            code = "too-many-headers" if status == 431 else "malformed-http"
            assert (found, problem["status"], problem["type"]) == (status, status, f"urn:recsys:problem:{code}"), data
            assert headers["content-type"] == "application/problem+json"
            assert (headers["connection"], headers["x-content-type-options"]) == ("close", "nosniff")
            assert headers["x-request-id"] == problem["request_id"]
            assert await connection[0].read() == b""
            connection[1].close()
        connection = await asyncio.open_connection(host, port)
        metrics = (await ask(connection, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"))[2].decode()
        counted = f'recsys_refused_requests_total{{reason="malformed-http"}} {float(len(MALFORMED))}'
        assert counted in metrics
        connection[1].close()

    play(settings, chain, scenario)
