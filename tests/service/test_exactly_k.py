"""Whenever k allowed items exist, k come back, in score order, whatever is mixed: over HTTP, many at the same time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys_vae.bundles.bundle import Bundle, write_bundle
from recsys_vae.bundles.manifest import Provenance
from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.settings import Settings
from tests.worlds import csr, two_tastes, untrained

N = 60
WORLD = two_tastes(80, N)
IDS = WORLD.items.values.to_list()
GENRES = [("drama", "comedy", None)[row % 3] for row in range(N)]
YEARS = [1950 + row for row in range(N)]
QUARTER = [row for row in range(N) if row % 4 == 0]

some_ids = st.lists(st.sampled_from([*IDS, "unknown"]), max_size=25)
filters = st.one_of(
    st.builds(
        lambda genre: {"op": "eq", "column": "genre", "value": genre}, st.sampled_from(["drama", "comedy", "no"])
    ),
    st.builds(lambda year: {"op": "range", "column": "year", "min": year}, st.integers(1950, 2010)),
    st.builds(
        lambda year: {
            "op": "and",
            "of": [
                {"op": "not", "of": {"op": "in", "column": "genre", "values": ["drama"]}},
                {"op": "range", "column": "year", "max": year},
            ],
        },
        st.integers(1950, 2010),
    ),
)
bodies = st.fixed_dictionaries(
    {"k": st.integers(1, 70)},
    optional={
        "history": some_ids,
        "exclude": some_ids,
        "candidates": some_ids,
        "filter": filters,
        "boost": st.lists(
            st.builds(
                lambda by, value, chosen: {"by": by, "value": value, **chosen},
                st.sampled_from(["add", "multiply"]),
                st.sampled_from([0.5, 2.0]),
                st.fixed_dictionaries({"where": filters})
                | st.fixed_dictionaries({"items": st.lists(st.sampled_from(IDS), min_size=1, max_size=5)}),
            ),
            max_size=2,
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class Served:
    """A running application and what it answers with."""

    client: TestClient
    chain: FallbackChain


@pytest.fixture(scope="module", params=["flat", "hnsw", "ivf", "ease"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One application for each kind of index, and one for a model that has none."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    model = untrained("ease" if request.param == "ease" else "mult-vae", N)
    write_bundle(
        folder / "bundle",
        model,
        WORLD.items,
        popularity=WORLD.item_counts(),
        provenance=Provenance(),
        item_table=pl.DataFrame({"item_id": IDS, "genre": GENRES, "year": YEARS}),
        index_kind="flat" if request.param == "ease" else request.param,
        index_queries=None if request.param == "ease" else model.encode(WORLD.matrix),
    )
    chosen = Settings(bundle=folder / "bundle", store=f"sqlite:///{folder}/events.db")
    with TestClient(create_app(chosen)) as client:
        yield Served(client, FallbackChain(Bundle.load(folder / "bundle")))


def fits(condition: dict, row: int) -> bool:
    match condition["op"]:
        case "and":
            return all(fits(part, row) for part in condition["of"])
        case "not":
            return not fits(condition["of"], row)
        case "eq":
            return GENRES[row] == condition["value"]
        case "in":
            return GENRES[row] in condition["values"]
        case _:
            return condition.get("min", 0) <= YEARS[row] <= condition.get("max", 9999)


def all_scores(chain: FallbackChain, body: dict) -> np.ndarray:
    known = sorted({IDS.index(item) for item in body.get("history", ()) if item in IDS})
    scores = chain.bundle.model.score(csr([known], N))[0] if known else chain.bundle.popularity
    scores = scores.astype(np.float64)
    for boost in body.get("boost", ()):
        for row in range(N):
            if IDS[row] in boost["items"] if "items" in boost else fits(boost["where"], row):
                by = boost["value"] if scores[row] >= 0 else 1 / boost["value"]
                scores[row] = scores[row] + boost["value"] if boost["by"] == "add" else scores[row] * by
    return scores


def allowed_rows(body: dict) -> set[int]:
    return {
        row
        for row, item in enumerate(IDS)
        if item not in body.get("history", ())
        and item not in body.get("exclude", ())
        and ("candidates" not in body or item in body["candidates"])
        and ("filter" not in body or fits(body["filter"], row))
    }


def check(served: Served, body: dict, answer: dict) -> None:
    scores, allowed = all_scores(served.chain, body), allowed_rows(body)
    rows = [IDS.index(item["item_id"]) for item in answer["items"]]
    expected = sorted((scores[row] for row in allowed), reverse=True)[: body["k"]]
    assert len(rows) == len(set(rows)) == len(expected)
    assert set(rows) <= allowed
    given_scores = [item["score"] for item in answer["items"]]
    assert given_scores == sorted(given_scores, reverse=True)
    assert given_scores == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert given_scores == pytest.approx(scores[rows].tolist(), rel=1e-4, abs=1e-5)
    assert (answer["next_cursor"] is None) == (len(allowed) == len(rows))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(bodies, min_size=1, max_size=8))
def test_exactly_k_come_back_in_score_order_under_any_mix(served: Served, asked: list[dict]) -> None:
    body = served.client.post("/v1/recommendations:batch", json={"requests": asked}).json()
    for request, result in zip(asked, body["results"], strict=True):
        assert result["status"] == 200, result
        check(served, request, result["answer"])


def test_the_same_when_many_ask_at_the_same_time(served: Served) -> None:
    rng = np.random.default_rng(0)

    def asked(turn: int) -> dict:
        body: dict = {"k": int(rng.integers(1, 65)), "history": rng.choice(IDS, turn % 7, replace=False).tolist()}
        if turn % 3 == 0:
            body["filter"] = {"op": "eq", "column": "genre", "value": "drama"}
        if turn % 4 == 0:
            body["candidates"] = [IDS[row] for row in QUARTER]
        return body

    requests = [asked(turn) for turn in range(80)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda body: served.client.post("/v1/recommendations", json=body), requests))
    for request, answer in zip(requests, answers, strict=True):
        check(served, request, answer.json())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies, diversity=st.sampled_from([0.0, 0.0, 0.4, 1.0]))
def test_pages_neither_repeat_nor_skip(served: Served, body: dict, diversity: float) -> None:
    body = {**body, "k": max(4, body["k"] % 20), "diversity": diversity}
    pages, cursor = [], None
    while not pages or cursor:
        page = served.client.post("/v1/recommendations", json=body | ({"cursor": cursor} if cursor else {})).json()
        pages.append(page["items"])
        cursor = page["next_cursor"]
    items = [item for page in pages for item in page]
    assert [item["rank"] for item in items] == list(range(1, len(items) + 1))
    assert sorted(IDS.index(item["item_id"]) for item in items) == sorted(allowed_rows(body))
    if not diversity:
        scores = [item["score"] for item in items]
        assert scores == pytest.approx(sorted(scores, reverse=True), rel=1e-5, abs=1e-6)
