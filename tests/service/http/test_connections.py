"""Connections as uvicorn has them, on a socket: too many, idle, slow."""

import asyncio
import json
import logging

import pytest
import uvicorn

from recsys_vae.recommender import FallbackChain
from service.http.connections import Connections
from service.observability.metrics import Metrics
from service.settings import Settings
from tests.service.http.test_load_shedding import HEAD, WHOLE, Connection, ask, play

HEALTH = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def closed(connection: Connection) -> tuple[int, dict]:
    """Status and problem that a connection was closed with; 0 where nothing was said."""
    told = await asyncio.wait_for(connection[0].read(), 10)
    connection[1].close()
    head, _, body = told.partition(b"\r\n\r\n")
    return (int(head.split()[1]), json.loads(body)) if told else (0, {})


async def settled() -> None:
    await asyncio.sleep(0.05)


def test_whoever_is_idle_longest_makes_room_and_is_told_why(
    settings: Settings, chain: FallbackChain, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.observability.tally.SECONDS_A_LINE", 0.01)
    caplog.set_level(logging.WARNING, "recsys.service")

    async def scenario(host: str, port: int, _: uvicorn.Server) -> None:
        kept = await asyncio.open_connection(host, port)
        assert (await ask(kept, HEALTH))[0] == 200
        idle = []
        for _ in range(2):
            idle.append(await asyncio.open_connection(host, port))
            await settled()
        assert (await ask(kept, HEALTH))[0] == 200  # by which it is idle for the shortest time
        crowd = [await asyncio.open_connection(host, port) for _ in range(2)]
        await settled()
        for connection in idle:
            status, problem = await closed(connection)
            assert (status, problem["type"]) == (408, "urn:recsys:problem:idle")
        assert (await ask(kept, HEALTH))[0] == 200
        assert (await ask(crowd[1], HEALTH))[0] == 200
        metrics = (await ask(kept, HEALTH.replace(b"/health/ready", b"/metrics")))[2].decode()
        assert 'recsys_refused_requests_total{reason="idle"} 2.0' in metrics
        for connection in (kept, *crowd):
            connection[1].close()
        await settled()

    play(settings.model_copy(update={"max_connections": 3}), chain, scenario)
    assert any("connections were closed to make room" in message for message in caplog.messages)


def test_where_nobody_is_idle_the_last_is_turned_away_and_told_why(settings: Settings, chain: FallbackChain) -> None:
    async def scenario(host: str, port: int, _: uvicorn.Server) -> None:
        busy = [await asyncio.open_connection(host, port) for _ in range(2)]
        for _, writer in busy:
            writer.write(HEAD + b"Content-Length: 8\r\n\r\n{")  # the rest is under way
        await settled()
        status, problem = await closed(await asyncio.open_connection(host, port))
        assert (status, problem["type"]) == (503, "urn:recsys:problem:too-many-connections")
        assert (await ask(busy[0], b'"k": 2}'))[0] == 200
        await settled()
        other = await asyncio.open_connection(host, port)  # in place of the first, which is idle now
        assert (await ask(other, HEALTH))[0] == 200
        assert await closed(busy[0]) == (0, {})  # an answer to nothing would be taken for the next one
        assert (await ask(busy[1], b'"k": 2}'))[0] == 200
        for connection in (other, busy[1]):
            connection[1].close()

    play(settings.model_copy(update={"max_connections": 2}), chain, scenario)


@pytest.mark.parametrize("sent", [b"", HEALTH[:10], HEALTH[:-2]])
def test_a_head_that_does_not_come_is_not_waited_for(settings: Settings, chain: FallbackChain, sent: bytes) -> None:
    async def scenario(host: str, port: int, _: uvicorn.Server) -> None:
        fresh = await asyncio.open_connection(host, port)
        fresh[1].write(sent)
        status, problem = await closed(fresh)
        assert (status, problem["type"]) == (408, "urn:recsys:problem:idle")
        used = await asyncio.open_connection(host, port)
        assert (await ask(used, WHOLE))[0] == 200
        used[1].write(sent or b"P")
        assert await closed(used) == (0, {})

    play(settings.model_copy(update={"idle_seconds": 0.2}), chain, scenario)


def test_the_number_of_connections_is_that_of_those_which_are_open() -> None:
    class Given:
        def __init__(self) -> None:
            self.told: list[int] = []

        def give_up(self, status: int, code: str, detail: str) -> None:
            self.told.append(status)

    async def run() -> None:
        connections, some = Connections(2, Metrics()), [Given() for _ in range(5)]
        for one in some[:2]:
            connections.opened(one)
            connections.is_busy(one)
        connections.opened(some[2])
        connections.closed(some[2])
        connections.closed(some[0])
        connections.opened(some[3])
        connections.opened(some[4])
        assert [one.told for one in some] == [[], [], [503], [408], []]

    asyncio.run(run())
