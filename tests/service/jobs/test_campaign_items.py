"""Campaigns know what was changed about items: their lists are the endpoint's then too, over both databases."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.jobs.test_campaign import POST, bundle, campaign, dataset
from tests.service.places import Place
from tests.service.test_live_items import placing
from tests.service.tiny import fill

__all__ = ["bundle", "dataset", "placing"]

CHANGES = [
    {"item_id": "c", "hidden": True},
    {"item_id": "d", "op": "delete"},
    {"item_id": "e", "fields": {"price": 3, "title": "Eel", "tags": ["sea", "live"]}},
    {"item_id": "f", "fields": {"price": 7.5, "genre": "drama"}},
    {"item_id": "g", "fields": {"price": 12}},
    {"item_id": "n1", "fields": {"genre": "drama", "price": 2, "title": "New"}},
    {"item_id": "n2", "fields": {"genre": "comedy", "price": 9}},
    {"item_id": "n3", "fields": {"price": 4}, "hidden": True},
]
CHEAP = {"op": "range", "column": "price", "max": 10}


def both(
    bundle: Path, dataset: Path, place: Place, body: dict, to: Path, share: float = 0.0
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a campaign writes and what the endpoint answers, by user: rank, item, score, tier, source, fields."""
    fill(place.url)
    settings = Settings(bundle=bundle, store=place.url, explore_share=share)
    answered = {}
    with TestClient(create_app(settings)) as client:
        assert client.post("/v1/items", json={"items": CHANGES}).json()["accepted"] == len(CHANGES)
        for record in pl.read_parquet(dataset / "users.parquet").iter_rows(named=True):
            user = record.pop("user_id")
            found = client.post(POST, json={"user_id": user, "metadata": record, **body}).json()
            answered[user] = [
                (item["rank"], item["item_id"], pytest.approx(item["score"], 1e-5, 1e-6), found["tier"], item["source"],
                 *item.get("fields", {}).values())
                for item in found["items"]
            ]  # fmt: skip
    request = to.parent / "request.json"
    request.write_text(json.dumps(body))
    options = ("--store", place.url, "--request", str(request), "--histories", "store", "--explore-share", str(share))
    campaign(bundle, dataset, to, *options)
    table = pl.read_parquet(to).sort("user_id", "rank")
    parts = table.group_by("user_id", maintain_order=True)
    written = {str(user): list(part.drop("user_id").iter_rows()) for (user,), part in parts}
    return written, {user: items for user, items in answered.items() if items}


@pytest.mark.parametrize("share", [0.0, 0.25])
@pytest.mark.parametrize(
    "body",
    [
        {"k": 8, "fields": ["title", "price", "tags", "genre"]},
        {"k": 3, "filter": CHEAP, "boost": [{"by": "add", "value": 9.0, "where": CHEAP}], "fields": ["price"]},
        {"k": 3, "at_most": [{"column": "genre", "n": 1}]},
    ],
)
def test_lists_are_those_of_the_endpoint(
    body: dict, share: float, bundle: Path, dataset: Path, place: Place, tmp_path: Path
) -> None:
    written, answered = both(bundle, dataset, place, body, tmp_path / "lists.parquet", share)
    assert written == answered
    items = {item[1] for found in written.values() for item in found}
    assert not items & {"c", "d", "n3"}
    assert bool(items & {"n1", "n2"}) is (share > 0)


def test_new_items_have_the_places_that_their_content_gives_them(
    placing: Settings, dataset: Path, place: Place, tmp_path: Path
) -> None:
    assert placing.bundle is not None
    written, answered = both(placing.bundle, dataset, place, {"k": 20}, tmp_path / "lists.parquet")
    assert written == answered
    assert written["u0"][0][1] == "n2"


def test_a_rerun_knows_items_as_they_were_when_it_began(
    bundle: Path, dataset: Path, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.campaign.BATCH", 2)
    options = ("--store", place.url, "-k", "4", "--shards", "4", "--fields", "genre")
    settings = Settings(bundle=bundle, store=place.url)
    with TestClient(create_app(settings)) as client:
        client.post("/v1/items", json={"items": CHANGES})
        campaign(bundle, dataset, tmp_path / "parts", *options)
        first = pl.read_parquet(tmp_path / "parts" / "*.parquet").sort("user_id", "rank")
        (tmp_path / "parts" / "part-00002.parquet").unlink()
        client.patch("/v1/items/a", json={"hidden": True})
        assert "6 of 8 users have their lists already" in campaign(bundle, dataset, tmp_path / "parts", *options)
        assert pl.read_parquet(tmp_path / "parts" / "*.parquet").sort("user_id", "rank").equals(first)
        campaign(bundle, dataset, tmp_path / "anew", *options)
    anew = pl.read_parquet(tmp_path / "anew" / "*.parquet")
    assert "a" not in anew["item_id"]
    assert "a" in first["item_id"]


def test_items_as_the_bundle_has_them_and_a_store_that_is_not_there(
    bundle: Path, dataset: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/none.db"
    campaign(bundle, dataset, tmp_path / "a.parquet", "--store", url)
    assert not (tmp_path / "none.db").exists()
    down = ("--store", "postgresql+psycopg://127.0.0.1:1/none")
    assert "does not answer" in campaign(bundle, dataset, tmp_path / "b.parquet", *down, status=1)
    campaign(bundle, dataset, tmp_path / "c.parquet", *down, "--items", "bundle")
    assert pl.read_parquet(tmp_path / "a.parquet").equals(pl.read_parquet(tmp_path / "c.parquet"))


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(bundle: Path, dataset: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    with TestClient(create_app(Settings(bundle=bundle, store=url))) as client:
        client.post("/v1/items", json={"items": CHANGES})
    for to, parts in (("lists", "1 parts"), ("lists.parquet", "one file")):
        said = campaign(bundle, dataset, tmp_path / to, "-k", "5", "--store", url, "--dry-run")
        assert "lists of 5 for 8 of 8 users" in said
        assert parts in said
        assert "8 items changed since" in said
        assert not (tmp_path / to).exists()
    said = campaign(bundle, dataset, tmp_path / "lists", "--fields", "nope", "--store", url, "--dry-run", status=1)
    assert "no column 'nope'" in said


def test_a_field_is_not_named_as_a_column_of_the_lists(
    bundle: Path, dataset: Path, place: Place, tmp_path: Path
) -> None:
    with TestClient(create_app(Settings(bundle=bundle, store=place.url))) as client:
        client.patch("/v1/items/a", json={"fields": {"score": 3}})
    said = campaign(bundle, dataset, tmp_path / "lists", "--fields", "score", "--store", place.url, status=1)
    assert "a column 'score' of their own" in said
