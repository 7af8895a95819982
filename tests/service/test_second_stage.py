"""A bundle with a second stage in service: its order in every list, and everything else that a request can ask."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from recsys_vae.bundles.bundle import Bundle
from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.jobs.parity import rankings
from service.settings import Settings
from tests.second_stages import NEEDS_LIGHTGBM, with_latest_first
from tests.service.tiny import HISTORIES
from tests.worlds import untrained

pytestmark = NEEDS_LIGHTGBM
POST = "/v1/recommendations"


@pytest.fixture(scope="module")
def ranked(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Years rise from a to h, so the latest of the candidates first is h before g and so on."""
    return with_latest_first(bundle_path, tmp_path_factory.mktemp("ranked") / "b", [untrained("ease", 8)], depth=8)


@pytest.fixture
def client(ranked: Path, settings: Settings) -> Iterator[TestClient]:
    """A client of an application that serves it."""
    with TestClient(create_app(settings.model_copy(update={"bundle": ranked, "deadline_ms": 60_000.0}))) as client:
        yield client


def listed(client: TestClient, **asked: object) -> str:
    response = client.post(POST, json={"k": 8, **asked})
    assert response.status_code == 200, response.text
    return "".join(item["item_id"] for item in response.json()["items"])


def test_lists_are_in_its_order_whatever_else_is_asked(client: TestClient) -> None:
    assert listed(client, history=["a", "b"]) == "hgfedc"
    assert listed(client, history=["a", "b"], k=2) == "hg"
    assert listed(client, history=["a", "b"], exclude=["h", "e"]) == "gfdc"
    assert listed(client, history=["a", "b"], filter={"op": "eq", "column": "genre", "value": "drama"}) == "gec"
    assert listed(client, history=["a", "b"], candidates=["c", "f", "g"]) == "gfc"
    boost = [{"by": "add", "value": 100.0, "items": ["c"]}]
    assert listed(client, history=["a", "b"], boost=boost) == "chgfed"
    assert listed(client, history=["a"], k=4, at_most=[{"column": "genre", "n": 2}]) == "hgfe"
    assert listed(client, history=["h"]) == "gfedcba"


def test_an_answer_says_what_put_it_in_order_and_explains_what_found_it(client: TestClient, settings: Settings) -> None:
    asked = {"history": ["a", "b"], "k": 6, "explain": True}
    body = client.post(POST, json=asked).json()
    assert (body["tier"], body["scorer"]) == ("history", "ranker")
    with TestClient(create_app(settings)) as unranked:
        first = unranked.post(POST, json=asked).json()
    causes = [{item["item_id"]: item["because"] for item in one["items"]} for one in (body, first)]
    assert causes[0] == causes[1]
    assert any(causes[0].values())
    assert client.post(POST, json={"k": 3}).json()["scorer"] == "popularity"


def test_pages_go_on_in_its_order(client: TestClient) -> None:
    body = client.post(POST, json={"history": ["a"], "k": 3}).json()
    pages = [item["item_id"] for item in body["items"]]
    body = client.post(POST, json={"history": ["a"], "k": 9, "cursor": body["next_cursor"]}).json()
    assert "".join([*pages, *(item["item_id"] for item in body["items"])]) == "hgfedcb"


def test_parity_expects_what_is_served(client: TestClient, ranked: Path) -> None:
    chain = FallbackChain(Bundle.load(ranked))
    for user, history in HISTORIES.items():
        [expected] = rankings(chain, [dict.fromkeys(history, 1.0)], 5)
        served = client.post(POST, json={"user_id": user, "k": 5}).json()["items"]
        assert [item["item_id"] for item in served] == list(expected.item_ids[:5])
