"""Propensities end to end: what the service draws, keeps and exports, and what is estimated from it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.evaluation.impressions import read_impressions
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import DataError, EmptyDataError
from recsys_vae.evaluation.counterfactual import Counterfactual, estimate
from service.app import create_app
from service.jobs.impression_export import Choice, export_impressions
from service.ranking import exploration
from service.settings import Settings
from service.store.events import EventStore
from tests.service.places import Place
from tests.service.tiny import ITEMS, write_tiny_bundle

POST = "/v1/recommendations"
NEW = tuple(f"n{number}" for number in range(4))
CLICKED = dict(zip((*ITEMS, *NEW), np.linspace(0.9, 0.1, len(ITEMS) + len(NEW)), strict=True))
"""How likely each item is clicked, wherever it stands."""
USERS = IdMap.from_values([f"u{number:03}" for number in range(300)])
CATALOGUE = IdMap.from_values((*ITEMS, *NEW))
K = 3


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    for name, model in (("one", "popularity"), ("two", "ease")):
        write_tiny_bundle(folder / name, model)
    return folder


def drawing(root: Path, store: str, **more: object) -> Settings:
    """Two variants, and nine lists in ten with a newcomer among three items: every place may be of the model too."""
    variants = (f"a=2:{root / 'one'}", f"b=1:{root / 'two'}")
    told = {"propensities": True, "explore_share": 0.3, "deadline_ms": 60_000, "bundle_root": root, "store": store}
    return Settings(variant=variants, **told | more)  # type: ignore[arg-type]


@pytest.fixture
def always_today(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn by user and day is the same whenever the tests run."""
    monkeypatch.setattr(exploration, "DAY", 10**30)


def ask(client: TestClient, n: int = len(USERS), **more: object) -> list[dict]:  # type: ignore[type-arg]
    """An answer for each user, who all have a history of their own."""
    histories = [[ITEMS[number % 8], ITEMS[(number // 8 + 3) % 8]] for number in range(len(USERS))]
    asked = [
        {"user_id": user, "history": history, "k": K, **more}
        for user, history in zip(USERS.values, histories, strict=True)
    ]
    found = []
    for start in range(0, n, 100):
        body = client.post(f"{POST}:batch", json={"requests": asked[start : min(n, start + 100)]})
        assert body.status_code == 200, body.text
        found += [one["answer"] for one in body.json()["results"]]
    return found


def ids(answers: list[dict]) -> list[list[str]]:  # type: ignore[type-arg]
    return [[item["item_id"] for item in answer["items"]] for answer in answers]


def click(client: TestClient, answers: list[dict], seed: int) -> None:  # type: ignore[type-arg]
    rng = np.random.default_rng(seed)
    events = [
        {"user_id": user, "item_id": item["item_id"], "event_type": "click", "request_id": answer["request_id"]}
        for user, answer in zip(USERS.values, answers, strict=True)
        for item in answer["items"]
        if rng.random() < CLICKED[item["item_id"]]
    ]
    for start in range(0, len(events), 500):
        assert client.post("/v1/events", json={"events": events[start : start + 500]}).status_code == 200


def add_newcomers(client: TestClient) -> None:
    for item in NEW:
        assert client.put(f"/v1/items/{item}", json={"fields": {}}).status_code == 200


def estimated(path: Path, lists: list[list[str]]) -> Counterfactual:
    shown = read_impressions(path, USERS, CATALOGUE)
    rows = np.array([CATALOGUE.rows(one) for one in lists])
    return estimate(shown.impressions, rows[shown.rows])


def check_that_they_are_how_often_newcomers_are_shown(path: Path, lists: list[list[str]]) -> None:
    shown = pl.read_parquet(path)
    assert shown.height == sum(map(len, lists))
    for item in NEW:
        [chance] = shown.filter(pl.col("item_id") == item)["propensity"].unique()
        assert chance == pytest.approx(0.3 * K / len(NEW))
        n = sum(item in one for one in lists)
        assert abs(n - chance * len(lists)) < 3 * np.sqrt(len(lists) * chance * (1 - chance))


def test_estimates_from_what_the_service_has_drawn_cover_the_truth(
    root: Path, tmp_path: Path, always_today: None
) -> None:
    store = f"sqlite:///{tmp_path}/e.db"
    with TestClient(create_app(drawing(root, store))) as client:
        add_newcomers(client)
        by_variant = {}
        for variant in "ab":
            client.headers["X-Recsys-Variant"] = variant
            by_variant[variant] = ids(ask(client, exclude=NEW))
        del client.headers["X-Recsys-Variant"]
        answers = ask(client)
        click(client, answers, seed=0)
    assert by_variant["a"] != by_variant["b"]
    ran = CliRunner().invoke(build(), ["export-impressions", "--to", f"{tmp_path}/shown.parquet", "--store", store])
    assert ran.exit_code == 0, ran.output
    assert "600 lists were left out" in ran.output  # those of chosen variants
    check_that_they_are_how_often_newcomers_are_shown(tmp_path / "shown.parquet", ids(answers))
    policies = {**by_variant, "a newcomer first": [["n1", *one[:2]] for one in by_variant["a"]]}
    for lists in policies.values():
        found = estimated(tmp_path / "shown.parquet", lists)
        truth = np.mean([CLICKED[item] for one in lists for item in one])
        for one in found.estimates:
            assert abs(one.value - truth) < 1.96 * one.standard_error
        assert found.weight == pytest.approx(1, abs=0.1)
        assert found.logged != pytest.approx(truth, abs=0.01)


@pytest.fixture
def one_drawing(root: Path, place: Place) -> Iterator[TestClient]:
    with TestClient(create_app(drawing(root, place.url))) as client:
        yield client


def test_both_stores_keep_them_and_tell_users(one_drawing: TestClient, place: Place, tmp_path: Path) -> None:
    add_newcomers(one_drawing)
    asked = {"user_id": "ann", "history": ["a"], "k": K}
    first = one_drawing.post(POST, json=asked).json()
    one_drawing.post(POST, json={**asked, "cursor": first["next_cursor"]})
    one_drawing.post(POST, json=asked, headers={"X-Recsys-Variant": "b"})
    shown = one_drawing.get("/v1/users/ann").json()["shown"]
    found = [one["propensities"] for one in shown]
    assert found[:2] == [None, None]  # who chose or went on did not draw
    assert len(found[2]) == K
    clicked = first["items"][0]["item_id"]
    event = {"user_id": "ann", "item_id": clicked, "event_type": "buy", "request_id": first["request_id"]}
    one_drawing.post("/v1/events", json={"events": [event]})
    with closing(place.open()) as store:
        planned = export_impressions(store, tmp_path / "shown.parquet", Choice(event_type="buy"), dry_run=True)
        assert not (tmp_path / "shown.parquet").exists()
        done = export_impressions(store, tmp_path / "shown.parquet", Choice(event_type="buy"))
        assert planned == done
        assert (done.impressions, done.lists, done.rewarded, done.unknown) == (K, 1, 1, 2)
        assert export_impressions(store, tmp_path / "shown.parquet", Choice(event_type="view")).rewarded == 0
        with pytest.raises(EmptyDataError, match="no list for a user by name"):
            export_impressions(store, tmp_path / "shown.parquet", Choice(since=10**17))
    rows = pl.read_parquet(tmp_path / "shown.parquet")
    assert rows["propensity"].to_list() == found[2]


def test_interleaved_lists_draw_their_last_place_alone(root: Path, tmp_path: Path) -> None:
    settings = drawing(root, f"sqlite:///{tmp_path}/e.db", interleave="a,b", explore_share=0.0, propensities=False)
    with TestClient(create_app(settings)) as client:
        ask(client, 32)
    with closing(EventStore(settings.store_url)) as store:
        export_impressions(store, tmp_path / "shown.parquet", Choice())
    told = pl.read_parquet(tmp_path / "shown.parquet").group_by("list_id", maintain_order=True).agg("propensity")
    assert {tuple(one) for one in told["propensity"]} == {(1.0, 1.0, 1.0), (1.0, 1.0, 0.5)}


def test_lists_that_nobody_draws_support_no_estimate(root: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=root / "two", store=f"sqlite:///{tmp_path}/e.db", exposures="on")
    with TestClient(create_app(settings)) as client:
        ask(client, 2)
    with (
        closing(EventStore(settings.store_url)) as store,
        pytest.raises(EmptyDataError, match=r"were certain .* --explore-share"),
    ):
        export_impressions(store, tmp_path / "shown.parquet", Choice())
    assert not (tmp_path / "shown.parquet").exists()
    certain = {"user_id": USERS.values, "item_id": ["a"] * len(USERS), "propensity": 1.0, "reward": 0.0}
    pl.DataFrame(certain).write_parquet(tmp_path / "certain.parquet")
    with pytest.raises(DataError, match="recsys serve --explore-share"):
        read_impressions(tmp_path / "certain.parquet", USERS, CATALOGUE)


def test_without_the_setting_several_variants_leave_them_unknown(root: Path, tmp_path: Path) -> None:
    settings = drawing(root, f"sqlite:///{tmp_path}/e.db", propensities=False)
    with TestClient(create_app(settings)) as client:
        ask(client, 2)
    with closing(EventStore(settings.store_url)) as store, pytest.raises(EmptyDataError, match="2 others"):
        export_impressions(store, tmp_path / "shown.parquet", Choice())
