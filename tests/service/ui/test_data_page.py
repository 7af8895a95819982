"""/ui/data: what ingest wrote is shown, as text; what cannot be read leaves an empty place; other keys see nothing."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from pipelines.cli import build
from service.ui import datasets
from service.ui.datasets import also_show, samples_of, told_of, volume_of
from tests.service.ui.logins import LogIn

HOSTILE = "<script>alert(1)</script>\u202e\"'"
LOG = f"""user_id,item_id,weight,timestamp
a,x,5,2024-01-01
a,y,1,2024-01-01
b,x,5,2024-01-03
,x,5,2024-01-03
b,y,{HOSTILE.replace('"', "")},2024-01-03
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def shop(home: Path, tmp_path: Path) -> Path:
    """A dataset as `recsys ingest` writes it."""
    (tmp_path / "log.csv").write_text(LOG)
    arguments = ["ingest", str(tmp_path / "log.csv"), "--to", "shop", "--min-rating", "2"]
    done = CliRunner().invoke(build(), arguments)
    assert done.exit_code == 0, done.output
    return home / "datasets" / "shop"


def test_what_ingest_counted_is_read_from_its_files(shop: Path) -> None:
    told = told_of(shop)
    assert (told.rows_in, told.kept, told.set_aside, told.taken) == (5, 2, 2, 1)
    assert [(one.name, one.rows) for one in told.lost] == [("min_rating", 1)]
    assert (told.first, told.last) == ("2024-01-01 00:00", "2024-01-03 00:00")
    assert [one.name for one in told.sources] == ["log.csv"]
    samples = samples_of(shop)
    assert [one.line for one in samples] == ["5", "6"]
    assert samples[0].reason == "user_id is missing"
    assert "item_id=x" in samples[0].content
    assert samples_of(shop, "user_id is missing") == samples[:1]
    volume = volume_of(shop)
    assert volume is not None
    assert dict(zip(volume.labels, volume.counts, strict=True)) == {"2024-01-01": 1, "2024-01-02": 0, "2024-01-03": 1}


def test_the_pages_show_it_and_what_stood_in_the_log_is_text(shop: Path, client: TestClient) -> None:
    assert 'href="/ui/data/shop"' in client.get("/ui/data").text
    page = client.get("/ui/data/shop").text
    assert "user_id is missing" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert client.get("/ui/data/nothing").status_code == 404
    assert client.get("/ui/data/..%2F..").status_code == 404


def test_without_histories_no_key_sees_a_dataset(shop: Path, log_in: LogIn) -> None:
    client = log_in("ui", "recommend", "items")
    assert "shop" not in client.get("/ui/data").text
    assert client.get("/ui/data/shop").status_code == 403


@pytest.mark.parametrize(
    "content", ["", "[]", "null", '{"kept": 3, "lost": {"a": 1}, "times": "x"}', "\udcff", "{" * 9000]
)
def test_files_of_another_make_leave_an_empty_place(home: Path, client: TestClient, content: str) -> None:
    folder = home / "datasets" / f"odd {HOSTILE.replace('/', '-')}"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(content, errors="surrogateescape")
    (folder / "interactions.parquet").write_text("nothing")
    (folder / "quarantine.parquet").write_text("nothing")
    assert client.get("/ui/data").status_code == 200
    page = client.get(f"/ui/data/{folder.name.replace(' ', '%20').replace('<', '%3C').replace('>', '%3E')}")
    assert (page.status_code, "cannot be read" in page.text) == (200, True)
    assert "<script>alert" not in page.text


def test_long_ranges_are_counted_by_week_or_month_and_large_tables_in_part(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    first = datetime(2000, 1, 1, tzinfo=UTC)
    for days, every in ((1000, "week"), (10_000, "month")):
        times = [first, first + timedelta(days=days), None]
        pl.DataFrame({"timestamp": times}, schema={"timestamp": pl.Datetime("us", "UTC")}).write_parquet(
            home / "interactions.parquet"
        )
        volume = volume_of(home)
        assert volume is not None
        assert (volume.every, sum(volume.counts), volume.without_time) == (every, 2, 1)
        assert len(volume.labels) <= 400
    monkeypatch.setattr(datasets, "MOST_ROWS", 1)
    datasets._volume.cache_clear()
    volume = volume_of(home)
    assert volume is not None
    assert (volume.rows, volume.is_whole) == (1, False)


def test_a_dataset_elsewhere_is_shown_where_the_application_is_told(tmp_path: Path, client: TestClient) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "summary.json").write_text(json.dumps({"rows_in": 7}))
    also_show(client.app, tmp_path / "mine")
    assert "mine" in client.get("/ui/data").text
    assert client.get("/ui/data/mine").status_code == 200
