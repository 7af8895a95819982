"""What users buy again: lists of a bundle with a repeat-purchase head, from requests to answers."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from recsys_vae import repeats
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.purchases import DAY
from recsys_vae.data.signals import SignalRules
from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.settings import Settings
from service.timestamps import to_microseconds
from tests.pipelines import logs_of_groceries
from tests.pipelines.logs_of_groceries import START
from tests.recsys_vae.models.test_repeat import N_ITEMS, grocer

POST = "/v1/recommendations"
TODAY = START + timedelta(days=121, hours=9)
"""When the tests begin: after all that was bought."""


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.days = 0

    def __call__(self) -> int:
        return to_microseconds(TODAY) + self.days * DAY


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetDir:
    return logs_of_groceries.dataset(tmp_path_factory.mktemp("data") / "grocer")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return logs_of_groceries.bundle(tmp_path_factory.mktemp("bundles") / "with-head", with_head=True)


@pytest.fixture(scope="module")
def settings(dataset: DatasetDir, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """That bundle, and a store that knows all of the log."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'events.db'}"
    done = CliRunner().invoke(build(), ["load-history", str(dataset.path), "--store", url])
    assert done.exit_code == 0, done.output
    # Polled no sooner than the tests end: another application on this store is not followed.
    return Settings(bundle=bundle, store=url, deadline_ms=60_000.0, poll_seconds=3600)


@pytest.fixture(scope="module")
def set_clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def client(settings: Settings, set_clock: Clock) -> Iterator[TestClient]:
    with TestClient(create_app(settings, clock=set_clock)) as client:
        yield client


@pytest.fixture(autouse=True)
def clock(set_clock: Clock) -> Clock:
    """Set back before each test."""
    set_clock.days = 0
    return set_clock


def asked(client: TestClient, **body: object) -> dict[str, Any]:
    response = client.post(POST, json={"k": N_ITEMS, **body})
    assert response.status_code == 200, response.text
    return response.json()


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def codes(answer: dict[str, Any]) -> list[str]:
    return [one["code"] for one in answer["warnings"]]


def sent(user: str) -> list[dict[str, str]]:
    """What a user of the log has bought, as requests tell it."""
    log = logs_of_groceries.events().filter(pl.col("user_id") == user).sort("timestamp")
    return [
        {"item_id": item, "time": time.isoformat()} for item, time in log.select("item_id", "timestamp").iter_rows()
    ]


def of_library(bundle: Path, user: int, repeat: Any, days: int = 0) -> dict[str, float]:
    """What `recsys_vae.repeats` lists for one of the log's users, seen from so many days after the first."""
    chain, visits = FallbackChain(Bundle.load(bundle)), grocer()
    known = visits.purchases(np.full(visits.shape[0], 121 + days))[np.array([user])]
    histories = (visits.matrix() > 0).astype(np.float32)[[user]]
    found = repeats.search(chain, chain.encode(histories), known, N_ITEMS, repeat)
    kept = found.rows[0] >= 0
    names = logs_of_groceries.ITEMS.ids(found.rows[0][kept])
    return dict(zip(names, found.scores[0][kept].tolist(), strict=True))


@pytest.mark.parametrize("repeat", ["allow", "only"])
def test_lists_are_those_of_the_head_by_every_route(client: TestClient, bundle: Path, repeat: str) -> None:
    expected = of_library(bundle, 3, repeat)
    body = {"user_id": "u003", "k": N_ITEMS, "repeat": repeat}
    answers = [
        asked(client, **body),
        client.get(f"/v1/users/u003/recommendations?k={N_ITEMS}&repeat={repeat}").json(),
        client.post(f"{POST}:batch", json={"requests": [{"user_id": "u009"}, body]}).json()["results"][1]["answer"],
    ]
    for answer in answers:
        scores = {item["item_id"]: item["score"] for item in answer["items"]}
        assert list(scores) == list(expected)
        assert scores == pytest.approx(expected, rel=1e-5)
        assert answer["scorer"] == "ials+repeat"
        bought = {"i0", "i1", "i2", "i3"}
        assert [one["source"] for one in answer["items"]] == [
            "repeat" if name in bought else "history" for name in expected
        ]


def test_new_items_alone_are_as_without_a_head(client: TestClient) -> None:
    found = asked(client, user_id="u003", repeat="exclude")
    assert ids(found) == ids(asked(client, user_id="u003"))
    assert found["scorer"] != "ials+repeat"
    assert set(ids(found)) == {"i4", "i5"}


def test_gaps_are_seen_from_the_moment_of_the_request(client: TestClient, clock: Clock, bundle: Path) -> None:
    soon = asked(client, user_id="u000", repeat="only")["items"]
    clock.days = 20
    later = asked(client, user_id="u000", repeat="only")["items"]
    scores = [{item["item_id"]: item["score"] for item in items} for items in (soon, later)]
    assert scores[1] == pytest.approx(of_library(bundle, 0, "only", days=20), rel=1e-5)
    assert scores[0] != pytest.approx(scores[1], rel=1e-3)


def test_pages_go_on_seeing_them_from_the_day_of_the_first(client: TestClient, clock: Clock) -> None:
    whole = asked(client, user_id="u007", repeat="allow")["items"]
    found = asked(client, user_id="u007", repeat="allow", k=2)
    pages = [*found["items"]]
    clock.days = 40
    while found["next_cursor"]:
        found = asked(client, user_id="u007", repeat="allow", k=2, cursor=found["next_cursor"])
        pages += found["items"]
    assert pages == whole
    assert asked(client, user_id="u007", repeat="allow")["items"] != whole


@pytest.mark.parametrize(
    "rules",
    [
        {"filter": {"op": "eq", "column": "aisle", "value": "dry"}},
        {"candidates": ["i1", "i4"]},
        {"exclude": ["i0"]},
        {"boost": [{"by": "add", "value": 30.0, "items": ["i5"]}]},
        {"at_most": [{"column": "aisle", "n": 1}]},
        {"quotas": [{"n": 1, "where": {"op": "eq", "column": "aisle", "value": "pans"}}], "k": 2},
    ],
)
def test_rules_hold_for_what_is_bought_again(client: TestClient, rules: dict[str, Any]) -> None:
    whole = ids(asked(client, user_id="u003", repeat="allow"))
    aisles = dict(logs_of_groceries.SHELF.select("item_id", "aisle").iter_rows())
    found = ids(asked(client, **{"user_id": "u003", "repeat": "allow", **rules}))
    match next(iter(rules)):
        case "filter":
            assert found == [one for one in whole if aisles[one] == "dry"]
        case "candidates":
            assert found == [one for one in whole if one in ("i1", "i4")]
        case "exclude":
            assert found == [one for one in whole if one != "i0"]
        case "boost":
            assert found == ["i5", *(one for one in whole if one != "i5")]
        case "at_most":
            firsts = {aisle: next(one for one in whole if aisles[one] == aisle) for aisle in aisles.values()}
            assert found == [one for one in whole if one in firsts.values()]
        case "quotas":
            assert len(found) == 2
            assert "i2" in found


def test_what_is_disliked_by_now_never_comes_back(
    settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bundle, "signals", SignalRules(dislikes=("return",)), raising=False)
    with TestClient(create_app(settings, clock=clock)) as ruled:
        history = [{"item_id": "i0", "event_type": "return"}]
        for repeat, n in (("allow", 5), ("only", 3)):
            found = ids(asked(ruled, user_id="u003", history=history, repeat=repeat))
            assert "i0" not in found
            assert len(found) == n


def test_each_is_explained_by_itself_or_by_the_history(client: TestClient) -> None:
    found = {item["item_id"]: item for item in asked(client, user_id="u003", repeat="allow", explain=True)["items"]}
    assert {item["pushed_by"] for item in found.values()} == {"history"}
    assert found["i0"]["because"][0]["item_id"] == "i0"
    assert found["i0"]["because"][0]["effect"] > 1  # of logarithms: e times as likely as if it had not been bought
    assert "i2" not in [cause["item_id"] for cause in found["i2"]["because"]]  # nobody buys a second pan


def test_times_that_are_sent_count_as_stored_ones(client: TestClient) -> None:
    found = asked(client, history=sent("u003"), repeat="allow")
    assert found["items"] == asked(client, user_id="u003", repeat="allow")["items"]


def test_a_history_without_times_is_ranked_as_others_are_and_said_so(client: TestClient) -> None:
    found = asked(client, history=["i0", "i2"], repeat="only")
    assert set(ids(found)) == {"i0", "i2"}
    assert "history_without_times" in codes(found)
    assert "history_without_times" not in codes(asked(client, user_id="u003", repeat="only"))
    assert "history_without_times" not in codes(asked(client, repeat="allow"))


def test_two_variants_draft_one_list_each_by_what_it_knows(bundle: Path, clock: Clock, tmp_path: Path) -> None:
    bare = logs_of_groceries.bundle(tmp_path / "bare")
    variants = (f"a=1:{bundle}", f"b=1:{bare}")
    both = Settings(variant=variants, interleave="a,b", store=f"sqlite:///{tmp_path}/events.db", deadline_ms=60_000.0)
    with TestClient(create_app(both, clock=clock)) as drafted:
        body = {"history": sent("u003"), "repeat": "allow", "k": 2}
        found = asked(drafted, **body)
        assert found["scorer"].startswith("ials+repeat+")
        pages = ids(found)
        clock.days = 40
        while found["next_cursor"]:
            found = asked(drafted, **body, cursor=found["next_cursor"])
            pages += ids(found)
    assert sorted(pages) == [f"i{item}" for item in range(N_ITEMS)]


def test_campaigns_and_batch_jobs_write_the_lists_of_the_endpoint(
    client: TestClient, dataset: DatasetDir, bundle: Path, settings: Settings, tmp_path: Path
) -> None:
    users = ["u000", "u003", "u031", "nobody"]
    (tmp_path / "users.txt").write_text("\n".join(users))
    some = ["--users", str(tmp_path / "users.txt"), "--k", "5", "--now", TODAY.isoformat()[:19]]
    for repeat in ("allow", "only"):
        online = {
            user: [
                (one["item_id"], pytest.approx(one["score"], rel=1e-5), one["source"])
                for one in asked(client, user_id=user, k=5, repeat=repeat)["items"]
            ]
            for user in users
        }
        runs = {
            "recommend": ["recommend"],
            "campaign": ["campaign"],
            "store": ["campaign", "--histories", "store", "--store", settings.store_url],
        }
        for name, command in runs.items():
            to = tmp_path / f"{name}-{repeat}.parquet"
            arguments = [*command, str(bundle), str(dataset.path), "--to", str(to), "--repeat", repeat, *some]
            done = CliRunner().invoke(build(), arguments, catch_exceptions=False)
            assert done.exit_code == 0, done.output
            table = pl.read_parquet(to).sort("user_id", "rank")
            written = {
                user: list(table.filter(pl.col("user_id") == user).select("item_id", "score", "source").iter_rows())
                for user in users
            }
            assert written == online, name
