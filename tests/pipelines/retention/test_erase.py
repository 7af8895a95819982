"""Erasing reaches what was made of a dataset: exported events and lists; lists of users have their moments."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source
from pipelines.retention.erase import erase, read_erasures
from pipelines.retraining import job
from recsys_vae.errors import DataError

ROWS = [("ann", "tea"), ("ann", "bun"), ("bob", "tea"), ("cat", "bun")]


def lists(path: Path, users: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"rank": 1, "item_id": "tea", "score": 1.0, "tier": "history", "source": "model"}
    pl.DataFrame({"user_id": users}).with_columns(pl.lit(v).alias(k) for k, v in columns.items()).write_parquet(path)
    return path


@pytest.fixture
def shop(recsys_home: Path, tmp_path: Path) -> DatasetDir:
    log, dataset = tmp_path / "log.csv", DatasetDir.to_write("shop")
    pl.DataFrame(ROWS, schema=["user_id", "item_id"], orient="row").write_csv(log)
    dataset.path.parent.mkdir(parents=True)
    ingest(Source((log,)), dataset)
    return dataset


def test_exports_go_and_lists_lose_their_rows(shop: DatasetDir, recsys_home: Path) -> None:
    root = job.job_folder("shop")
    made = lists(root / "runs" / "20260101T000000Z" / "lists.parquet", ["ann", "bob"])
    others = lists(root / "runs" / "20260102T000000Z" / "lists.parquet", ["bob"])
    (root / "events").mkdir()
    exports = [root / "events" / name for name in ("0-5.parquet", "5-9.parquet")]
    for path, user in zip(exports, ("ann", "bob"), strict=True):
        pl.DataFrame({"user_id": [user]}).write_parquet(path)
    mine = recsys_home / "mine.parquet"
    pl.DataFrame({"user_id": ["ann"], "note": ["mine"]}).write_parquet(mine)
    plan = erase(shop, {"ann": 2**60}, dry_run=True)
    assert (plan.exports, plan.lists, plan.dataset.interactions) == ((exports[0],), (made,), 2)
    assert shop.interactions().collect().height == 4
    before = others.read_bytes()
    done = erase(shop, {"ann": 2**60})
    assert (done.exports, done.lists) == (plan.exports, plan.lists)
    assert [path.exists() for path in exports] == [False, True]
    assert pl.read_parquet(made)["user_id"].to_list() == ["bob"]
    assert (others.read_bytes(), mine.exists()) == (before, True)


def test_the_verb_says_who_went(shop: DatasetDir, tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    users.write_text("ann\nzoe\n")
    told = CliRunner().invoke(build(), ["erase", "shop", "--users", str(users), "--dry-run"]).output
    assert told == "would be erased: 1 of 2 users, with 2 interactions\n"
    told = CliRunner().invoke(build(), ["erase", "shop", "--users", str(users)]).output
    assert told.splitlines()[:2] == [
        "erased: 1 of 2 users, with 2 interactions",
        "2 rows of the logs are gone with them, by the rule erased",
    ]
    assert len(json.loads((shop.path / "erased.json").read_text())["users"]) == 2


def test_moments_are_those_of_the_list_or_now(tmp_path: Path) -> None:
    path = tmp_path / "erased.csv"
    path.write_text("user_id,erased_at\nann,2020-01-01T00:00:00.000001+00:00\nbob,2020-01-01\ncat,\n")
    found = read_erasures(path)
    assert (found["ann"], found["bob"]) == (1_577_836_800_000_001, 1_577_836_800_000_000)
    assert found["cat"] > 1_700_000_000_000_000
    path.write_text("user_id,erased_at\nann,soon\n")
    with pytest.raises(DataError, match="'soon' as erased_at"):
        read_erasures(path)
