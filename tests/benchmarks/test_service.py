"""The benchmark's instruments measure what they say."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from service.schemas.recommendations import Recommendations, RecommendedItem
from tests.benchmarks import service_runs, service_worlds
from tests.benchmarks.service import summary
from tests.benchmarks.service_load import Load, Outcome, Sample
from tests.benchmarks.service_worlds import World, build

Answer = Callable[[int], Awaitable[bytes]]
REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def loaded(answer: Answer, ask: Callable[[Load], Awaitable[Outcome]], **options: int) -> Outcome:
    """Ask a server whose n-th answer (from 0) is `answer(n)`; no bytes close the connection."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                count, number = count + 1, count
                if not (data := await answer(number)):
                    break
                writer.write(data[:20])
                await writer.drain()
                writer.write(data[20:])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outcome = await ask(Load("127.0.0.1", port, [REQUEST], keep_bodies=True, **options))
    server.close()
    return outcome


async def at_once(_: int) -> bytes:
    return OK


def test_an_open_loop_sends_on_schedule_and_charges_a_stall_to_all_who_were_due() -> None:
    async def stalled(number: int) -> bytes:
        await asyncio.sleep(0.5 if number == 10 else 0)
        return OK

    outcome = asyncio.run(loaded(stalled, lambda load: load.open_loop(100, 1.0), connections=1))
    assert outcome.statuses() == {"200": len(outcome.samples)}
    assert 60 <= len(outcome.samples) <= 140
    waited = [sample.seconds for sample in outcome.samples]
    assert sum(seconds > 0.1 for seconds in waited) > 20  # not the one that stalled alone
    assert max(waited) >= 0.5
    assert {sample.body for sample in outcome.samples} == {b"ok"}


def test_refusals_and_broken_connections_are_told_apart_and_the_load_goes_on() -> None:
    async def moody(number: int) -> bytes:
        return (OK, BUSY, b"")[number % 3]

    outcome = asyncio.run(loaded(moody, lambda load: load.open_loop(300, 0.5), connections=4))
    statuses = outcome.statuses()
    assert set(statuses) == {"200", "503", "no answer"}
    assert all(count > 20 for count in statuses.values())


def test_a_closed_loop_keeps_every_connection_busy() -> None:
    async def slow(_: int) -> bytes:
        await asyncio.sleep(0.05)
        return OK

    outcome = asyncio.run(loaded(slow, lambda load: load.closed_loop(0.5), connections=8))
    assert 8 * 4 <= len(outcome.samples) <= 8 * 12
    assert outcome.rate() == pytest.approx(len(outcome.samples) / outcome.seconds)


def test_nobody_at_the_address_is_no_answer() -> None:
    outcome = asyncio.run(Load("127.0.0.1", 9, [REQUEST], connections=2).open_loop(50, 0.2))
    assert set(outcome.statuses()) == {"no answer"}
    assert outcome.percentiles() == {}


@pytest.fixture
def world(recsys_home: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(service_worlds, "USERS", 4)
    return build("rec-vae", 200, hidden=8, latent=4)


def answers_of(world: World, version: str, shift: int) -> list[Sample]:
    """What the offline scorer would answer for each user, `shift` users away."""
    histories = service_runs.liked_alike(world.histories)
    lists = service_runs.rankings(service_runs._offline(world), histories, service_worlds.K)
    found = []
    for number in range(len(world.histories)):
        ranking = lists[(number + shift) % len(lists)]
        items = [
            RecommendedItem(rank=rank, item_id=item_id, score=float(score), source="history")
            for rank, (item_id, score) in enumerate(
                zip(ranking.item_ids[:20], ranking.scores[:20], strict=True), start=1
            )
        ]
        answer = Recommendations(
            request_id="r",
            variant="main",
            model_version=version,
            tier="history",
            scorer="torch",
            items=items,
            next_cursor=None,
            warnings=[],
        )
        found.append(Sample(number, 0.0, 0.0, 0.1, 200, answer.model_dump_json().encode()))
    return found


def test_answers_are_held_against_the_version_that_they_name(world: World) -> None:
    version = service_runs._offline(world).bundle.version
    right, wrong = answers_of(world, version, 0), answers_of(world, version, 1)
    assert service_runs._consistency(right, [world]) == {"answers_by_version": {version: 4}, "inconsistent": 0}
    assert service_runs._consistency(right + wrong, [world])["inconsistent"] == 4


def test_recall_counts_what_a_full_sort_finds(world: World) -> None:
    chain, scores = service_runs._offline(world), service_runs._all_scores(service_runs._offline(world), world)
    body = json.loads(answers_of(world, "v", 0)[0].body or b"")
    everything = np.ones(200, dtype=np.bool_)
    assert service_runs._recall(chain, Recommendations(**body), scores[0], everything) == 1.0
    body["items"] = body["items"][:15]
    assert service_runs._recall(chain, Recommendations(**body), scores[0], everything) == 0.75
    body["items"] = []
    assert service_runs._recall(chain, Recommendations(**body), scores[0], everything) == 0.0


def test_seen_items_are_never_among_the_best(world: World) -> None:
    scores = service_runs._all_scores(service_runs._offline(world), world)
    assert (np.isneginf(scores).sum(axis=1) == 30).all()


def test_the_last_line_has_null_for_what_was_not_measured() -> None:
    figures = {"load-201": {"rps_share_of_bare": 0.51234, "half_load": {"bare": {"p99_ms": 2.0}, "service": {}}}}
    assert summary(figures) == {
        "rps_share_of_bare": 0.512, "rps_share_of_bare_601": None, "p99_ratio_half_load": None,
        "p50_ratio_half_load": None, "p99_ms_half_load": None, "bare_p99_ms_half_load": 2.0,
        "p50_ms_above_bare_one_connection": None,
        "failed_during_swaps": None, "acked_events_lost": None, "overload_bad_statuses": None,
        "second_worker_memory_share": None, "two_workers_ratio": None, "best_peer_ratio": None,
        "overload_useful_share": None,
    }  # fmt: skip


def test_the_last_line_holds_one_connection_against_that_of_the_bare_endpoint() -> None:
    alone = {"bare": {"p50_ms": 0.5}, "service": {"p50_ms": 1.25}}
    assert summary({"load-201": {"one_connection": alone}})["p50_ms_above_bare_one_connection"] == 0.75


def test_the_last_line_holds_half_load_against_that_of_the_bare_endpoint() -> None:
    half = {"bare": {"p50_ms": 1.5, "p99_ms": 4.0}, "service": {"p50_ms": 4.5, "p99_ms": 7.0}}
    found = summary({"load-201": {"half_load": half}, "load-601": {"rps_share_of_bare": 0.75}})
    assert (found["p50_ratio_half_load"], found["p99_ratio_half_load"]) == (3.0, 1.75)
    assert found["rps_share_of_bare_601"] == 0.75


def test_an_answer_in_chunks_ends_with_the_last_of_them() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"

    async def in_chunks(_: int) -> bytes:
        return chunked

    outcome = asyncio.run(loaded(in_chunks, lambda load: load.closed_loop(0.2), connections=2))
    assert set(outcome.statuses()) == {"200"}
