"""The runs of the service's benchmark; each returns the figures of one record."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import httpx2
import numpy as np
import torch
from scipy.sparse import csr_array

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.errors import UnavailableError
from recsys_vae.protocols import FactorizedRecommender, Float32Array
from recsys_vae.recommender import FallbackChain
from recsys_vae.retrieval.exact import TorchIndex
from service.client.client import Client
from service.jobs.parity import Ranking, difference, rankings
from service.schemas.recommendations import RecommendationRequest, Recommendations
from tests.benchmarks.service_load import Load, Outcome, Sample
from tests.benchmarks.service_processes import Server, generator, over_the_wire, serving, serving_bare, wrk
from tests.benchmarks.service_worlds import GOWALLA_ITEMS, SHARES, K, World, build

CONNECTIONS = 128
"""Of the loads that look for the highest rate: two full batches, so that one gathers while the other is computed."""
USEFUL_SECONDS = 2.0
"""An answer under overload counts as useful if it came within this time of when its request was due."""
MOST_CONNECTIONS = 512
"""Of the open loops: enough that nobody waits for a connection while the server keeps up."""
FLOOD_CONNECTIONS = 8192
"""Of the overload: more than the server queues, so that requests wait there or are refused, not here."""
MODELS = {201: ("rec-vae", {}), 601: ("mult-vae", {})}
"""Model by the width of its queries: the latent code, or the decoder's hidden layer, and the bias."""
SIZES = (10_000, 41_000, 200_000, 1_000_000)
SELECTIVITIES = (1.0, 0.1, 0.001)
TABLE_MODEL = {"hidden": 64, "latent": 128}
NORMAL = 1.5
"""After an overload, latency is normal again at this many times the p99 of before, or below NORMAL_MS."""
NORMAL_MS = 15.0
PATIENCE = 20.0
"""Seconds after an overload in which latency may become normal."""


@dataclass(frozen=True)
class Times:
    """How long the parts of a run take.

    Attributes:
        rate: seconds of a search for the highest rate.
        load: seconds of an open loop, of the swaps and of the overload.
        rounds: turns that the service and the bare endpoint take.
        cell: requests in a cell of the table.
    """

    rate: float = 10.0
    load: float = 30.0
    rounds: int = 5
    cell: int = 200


SHORT = Times(rate=2.0, load=3.0, rounds=1, cell=20)


def measure_load(width: int, times: Times) -> dict[str, Any]:
    """One worker beside the bare endpoint, in turns: highest rates, latency at half of them, and on one connection."""
    world = gowalla(width)
    bodies = world.bodies()
    with serving(world.bundle, world.store) as service, serving_bare(_one_answer(service, world)) as bare:
        rates = take_turns({"service": service, "bare": bare}, bodies, times)
        half = {
            name: _at_half_load(server, rates[name]["median"], bodies, times)
            for name, server in (("bare", bare), ("service", service))
        }
        alone = {name: _alone(server, bodies, times) for name, server in (("bare", bare), ("service", service))}
        memory = service.memory_mib()
    product = measure_product(world)
    bound = 1.0 / (1.0 / rates["bare"]["median"] + min(product.values()))
    return {
        "width": width,
        "generator": generator(),
        "requests_per_second": rates,
        "rps_share_of_bare": rates["service"]["median"] / rates["bare"]["median"],
        "cpu_share_of_bare": rates["bare"]["cpu_ms_a_request"] / rates["service"]["cpu_ms_a_request"],
        "product_and_top_k_ms": {str(batch): round(seconds * 1e3, 4) for batch, seconds in product.items()},
        "rps_bound": bound,
        "rps_share_of_bound": rates["service"]["median"] / bound,
        "half_load": half,
        "one_connection": alone,
        "memory_mib": memory,
    }


def measure_product(world: World, batches: Sequence[int] = (1, 4, 16, 64)) -> dict[int, float]:
    """Seconds a request of the matrix product and the selection alone, on one core, by requests taken at once."""
    torch.set_num_threads(1)
    chain = _offline(world)
    model = chain.bundle.model
    assert isinstance(model, FactorizedRecommender)
    index = TorchIndex(model.item_vectors())
    found = {}
    for batch in batches:
        seen = _matrix(chain, world.histories[:batch])
        queries = model.encode(seen)
        seconds = []
        for _ in range(30):
            began = time.perf_counter()
            index.search(queries, K, excluded=seen)
            seconds.append(time.perf_counter() - began)
        found[batch] = median(seconds) / batch
    return found


def measure_cells(n_items: int, times: Times) -> dict[str, Any]:
    """One row of the table: latency on one connection, and recall, by selectivity and by where the history is."""
    world = build("rec-vae", n_items, **TABLE_MODEL)
    chain = _offline(world)
    shares = chain.bundle.item_table["share"].to_numpy()
    scores = _all_scores(chain, world)
    cells = {}
    with serving(world.bundle, world.store) as server:
        for selectivity in SELECTIVITIES:
            allowed = shares < round(selectivity * SHARES)
            narrowed = _narrowed(selectivity)
            for source in ("history", "user_id"):
                name = f"{selectivity:g} by {source}"
                bodies = world.bodies(**narrowed) if source == "history" else world.bodies_by_user(**narrowed)
                cells[name] = _cell(server, bodies, scores, allowed, chain, times)
        memory = server.memory_mib()
    return {"width": TABLE_MODEL["latent"] + 1, "cells": cells, "memory_mib": memory}


def measure_swaps(times: Times, swaps: int = 10) -> dict[str, Any]:
    """Full load while the bundle is swapped: failures, and answers that are not those of the version they name."""
    worlds = [build("rec-vae", GOWALLA_ITEMS, seed=seed) for seed in (0, 1)]
    current = worlds[0].bundle.parents[1] / f"current-{uuid4().hex}"
    _point(current, worlds[0].bundle)
    try:
        with serving(current, worlds[0].store) as server:
            load = load_of(server, worlds[0].bodies(), connections=CONNECTIONS, keep_bodies=True)
            with _swapping(server, current, [world.bundle for world in worlds], swaps, times.load) as done:
                outcome = asyncio.run(load.closed_loop(times.load))
    finally:
        current.unlink()
    return {
        "swaps": len(done),
        "requests": len(outcome.samples),
        "requests_per_second": outcome.rate(),
        "statuses": outcome.statuses(),
        "failed": sum(sample.status != 200 for sample in outcome.samples),
        **_consistency(outcome.samples, worlds),
        "latency": outcome.percentiles(),
    }


def measure_overload(times: Times, factor: float = 3.0) -> dict[str, Any]:
    """Three times the sustainable rate, then half of it: statuses, memory, and how soon latency is normal again."""
    world = gowalla(201)
    bodies = world.bodies()
    with serving(world.bundle, world.store) as server:
        rate = highest_rate(server, bodies, times.rate)
        before = _at_half_load(server, rate, bodies, times)
        with _watched(server) as memory:
            over, after = asyncio.run(_flood(server, bodies, rate, factor * rate, before, times))
    statuses = over.statuses()
    return {
        "generator": generator(),
        "sustainable_rps": rate,
        "sent_rps": len(over.samples) / times.load,
        "statuses": statuses,
        "bad_statuses": sum(count for status, count in statuses.items() if status not in ("200", "429", "503")),
        "answered_rps": over.rate(),
        "useful_share_of_sustainable": _useful(over) / (rate * times.load),
        "latency": over.percentiles(),
        "before": before,
        "after": after,
        "memory_mib": {"before": memory[0], "most": max(memory), "after": memory[-1]},
    }


def gowalla(width: int) -> World:
    """Gowalla's catalogue, by a model of this width."""
    model, settings = MODELS[width]
    return build(model, GOWALLA_ITEMS, **settings)


def take_turns(servers: dict[str, Server], bodies: list[bytes], times: Times) -> dict[str, dict[str, Any]]:
    """Requests a second of each; the first, shorter turn warms up and is not counted."""
    rates: dict[str, list[float]] = {name: [] for name in servers}
    costs: dict[str, list[float]] = {name: [] for name in servers}
    for turn in range(times.rounds + 1):
        for name, server in servers.items():
            seconds = times.rate if turn else min(2.0, times.rate)
            computed = server.cpu_seconds()
            rate = highest_rate(server, bodies, seconds)
            if turn:
                rates[name].append(round(rate, 1))
                costs[name].append((server.cpu_seconds() - computed) / (rate * seconds))
    return {
        name: {"median": median(rates[name]), "rounds": rates[name], "cpu_ms_a_request": median(costs[name]) * 1e3}
        for name in servers
    }


def _at_half_load(server: Server, rate: float, bodies: list[bytes], times: Times) -> dict[str, float]:
    outcome = asyncio.run(load_of(server, bodies).open_loop(rate / 2, times.load))
    return {"rate": round(rate / 2, 1), **outcome.percentiles(), "failed": len(outcome.samples) - good(outcome)}


def _alone(server: Server, bodies: list[bytes], times: Times) -> dict[str, float]:
    return asyncio.run(load_of(server, bodies, connections=1).closed_loop(times.rate)).percentiles()


def highest_rate(server: Server, bodies: list[bytes], seconds: float, connections: int = CONNECTIONS) -> float:
    """Requests a second by wrk, or by the generator of this benchmark where wrk is not installed.

    Raises:
        UnavailableError: a request failed.
    """
    if generator() == "wrk":
        return wrk(server, bodies, connections=connections, seconds=seconds)
    outcome = asyncio.run(load_of(server, bodies, connections=connections).closed_loop(seconds))
    if set(outcome.statuses()) != {"200"}:
        raise UnavailableError(f"Requests failed at {server.url}: {outcome.statuses()}.")
    return outcome.rate()


def _useful(outcome: Outcome) -> int:
    return sum(sample.status == 200 and sample.seconds <= USEFUL_SECONDS for sample in outcome.samples)


def load_of(
    server: Server, bodies: list[bytes], *, connections: int = MOST_CONNECTIONS, keep_bodies: bool = False
) -> Load:
    requests = [over_the_wire(server, body) for body in bodies]
    return Load(server.host, server.port, requests, connections=connections, keep_bodies=keep_bodies)


def good(outcome: Outcome) -> int:
    """Requests that were answered."""
    return sum(sample.status == 200 for sample in outcome.samples)


def _one_answer(service: Server, world: World) -> dict[str, Any]:
    with Client(service.url) as client:
        answer = client.recommend(RecommendationRequest(history=list(world.histories[0]), k=K))
    return answer.model_dump(mode="json")


def _narrowed(selectivity: float) -> dict[str, Any]:
    """What a request says to choose among this share of the items only."""
    if selectivity == 1.0:
        return {}
    return {"filter": {"op": "range", "column": "share", "max": round(selectivity * SHARES) - 1}}


def _cell(
    server: Server, bodies: list[bytes], scores: Float32Array, allowed: np.ndarray, chain: FallbackChain, times: Times
) -> dict[str, Any]:
    some = bodies[: times.cell]
    load = load_of(server, some, connections=1, keep_bodies=True)
    outcome = asyncio.run(load.closed_loop(max(1.0, times.cell / 100)))
    recalls = [
        _recall(chain, Recommendations.model_validate_json(sample.body or b""), scores[sample.request], allowed)
        for sample in outcome.samples
        if sample.status == 200
    ]
    return {
        "requests": len(outcome.samples), "statuses": outcome.statuses(), **outcome.percentiles(),
        "recall": float(np.mean(recalls)), "worst_recall": float(np.min(recalls)),
    }  # fmt: skip


def _recall(chain: FallbackChain, served: Recommendations, scores: Float32Array, allowed: np.ndarray) -> float:
    """Share of the best allowed items, of all that there are, that were served; an equal score is as good."""
    possible = np.where(allowed, scores, -np.inf)
    n_best = min(K, int(np.isfinite(possible).sum()))
    best = np.sort(np.partition(possible, -n_best)[-n_best:])[::-1]
    rows = chain.bundle.items.rows([item.item_id for item in served.items])
    slack = 1e-5 * np.abs(best).max()
    return float((possible[rows] >= best[-1] - slack).sum() / len(best))


def _all_scores(chain: FallbackChain, world: World) -> Float32Array:
    """Scores of all items for every user, what the user has seen at -inf."""
    seen = _matrix(chain, world.histories)
    scores = chain.bundle.model.score(seen)
    scores[seen.nonzero()] = -np.inf
    return scores


def _offline(world: World) -> FallbackChain:
    bundle = Bundle.load(world.bundle)
    assert isinstance(bundle.model, FactorizedRecommender)
    return FallbackChain(bundle, TorchIndex(bundle.model.item_vectors()))


def liked_alike(histories: Sequence[Sequence[str]]) -> list[dict[str, float]]:
    """Histories of ids alone, as the service takes them: each item of weight 1."""
    return [dict.fromkeys(ids, 1.0) for ids in histories]


def _matrix(chain: FallbackChain, histories: Sequence[Sequence[str]]) -> csr_array:
    rows = np.array([np.sort(chain.bundle.items.rows(list(ids))) for ids in histories])
    ends = np.arange(len(rows) + 1) * rows.shape[1]
    shape = (len(rows), len(chain.bundle.items))
    return csr_array((np.ones(rows.size, np.float32), rows.ravel(), ends), shape=shape)


def _consistency(samples: Sequence[Sample], worlds: Sequence[World]) -> dict[str, Any]:
    """Answers by version, and how many are not what the version that they name answers."""
    expected: dict[str, list[Ranking]] = {}
    for world in worlds:
        chain = _offline(world)
        expected[chain.bundle.version] = rankings(chain, liked_alike(world.histories), K)
    counts, wrong = dict.fromkeys(expected, 0), 0
    for sample in (one for one in samples if one.status == 200):
        answer = Recommendations.model_validate_json(sample.body or b"")
        counts[answer.model_version] += 1
        wrong += difference(answer.items, expected[answer.model_version][sample.request], K) is not None
    return {"answers_by_version": counts, "inconsistent": wrong}


@contextmanager
def _swapping(server: Server, current: Path, bundles: list[Path], swaps: int, seconds: float) -> Iterator[list[int]]:
    """Meanwhile, point the served address at the other bundle and have it reloaded; yields the swaps done."""
    done: list[int] = []
    failures: list[Exception] = []

    def swap() -> None:
        try:
            for number in range(1, swaps + 1):
                time.sleep(seconds / (swaps + 1))
                _point(current, bundles[number % len(bundles)])
                httpx2.post(f"{server.url}/v1/admin/reload", timeout=60.0).raise_for_status()
                done.append(number)
        except httpx2.HTTPError as error:
            failures.append(error)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield done
    finally:
        thread.join()
    if failures:
        raise failures[0]


def _point(link: Path, to: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    other = link.with_name(link.name + "-next")
    other.symlink_to(to.resolve())
    os.replace(other, link)


@contextmanager
def _watched(server: Server) -> Iterator[list[float]]:
    """MiB of the server's memory, looked at ten times a second."""
    found = [server.memory_mib()]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            found.append(server.memory_mib())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


async def _flood(
    server: Server, bodies: list[bytes], rate: float, too_much: float, before: dict[str, float], times: Times
) -> tuple[Outcome, dict[str, Any]]:
    """Send too much; from the moment when that ends, half of the sustainable rate, until latency is as before."""
    everybody = load_of(server, bodies, connections=FLOOD_CONNECTIONS)
    flood = asyncio.create_task(everybody.open_loop(too_much, times.load))
    await asyncio.sleep(times.load)
    ended, limit, found, normal = time.perf_counter(), max(NORMAL_MS, NORMAL * before["p99_ms"]), {}, None
    while normal is None and time.perf_counter() - ended < PATIENCE:
        outcome = await load_of(server, bodies).open_loop(rate / 2, 0.5)
        found = outcome.percentiles()
        if found and found["p99_ms"] <= limit and good(outcome) == len(outcome.samples):
            normal = round(time.perf_counter() - ended, 2)
    return await flood, {"normal_within_seconds": normal, "limit_ms": limit, **found}
