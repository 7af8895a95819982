"""Data health: summaries and quarantines as ingest writes them, hostile and damaged ones, and none."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient

from service.ui import dataset_files
from tests.service.ui.logins import LogIn

HOME = "/ui/data"
HOSTILE = "<script>alert(1)</script>"
SUMMARY: dict[str, Any] = {
    "dataset": "shop", "sources": [HOSTILE], "taken_for": ["csv"], "rules": {"min_user": 5}, "rows_in": 10,
    "quarantined": [{"name": f"weight is {HOSTILE}", "rows": 2}], "lost": [{"name": "min_user", "rows": 4}],
    "kept": {"interactions": 4, "users": 2, "items": 3, "density": 0.5, "last": "2026-11-04T00:00:00Z"},
    "notes": [HOSTILE],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of four interactions on two days, with two rows in quarantine."""
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home" / "datasets" / "a b<i>"
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    days = [datetime(2026, 11, day, 12, tzinfo=UTC) for day in (1, 1, 4)]
    pl.DataFrame({"user_id": list("uuvv"), "timestamp": [*days, None]}).write_parquet(folder / "interactions.parquet")
    rows = {
        "user_id": ["<b>u", None],
        "weight": ["x", "y"],
        "raw": [None, None],
        "reason": [f"weight is {HOSTILE}", "other"],
    }
    pl.DataFrame(rows, schema_overrides={"raw": pl.String}).write_parquet(folder / "quarantine.parquet")
    return folder


def test_a_dataset_shows_where_its_rows_went_and_which_were_refused(client: TestClient, folder: Path) -> None:
    text = client.get(HOME).text
    assert 'href="/ui/data/a%20b%3Ci%3E"' in text
    page = client.get("/ui/data/a%20b%3Ci%3E")
    assert page.status_code == 200
    assert "rows of users with too few interactions (5)" in page.text
    assert "40.00 %" in page.text
    assert "<bdi>&lt;b&gt;u</bdi>" in page.text
    assert '<th scope="col"><bdi>raw' not in page.text
    assert not [bad for bad in (HOSTILE, "<b>u", "<i>") if bad in text + page.text]
    one = client.get("/ui/data/a%20b%3Ci%3E", params={"reason": "other"}).text
    assert ("<bdi>y</bdi>" in one, "<bdi>x</bdi>" in one) == (True, False)


def test_days_without_any_count_as_nothing(folder: Path) -> None:
    [dataset] = dataset_files.datasets()
    assert dataset_files.volume(dataset) == [("2026-11-01", 2), ("2026-11-02", 0), ("2026-11-03", 0), ("2026-11-04", 1)]
    days = [datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)]
    pl.DataFrame({"user_id": ["u", "v"], "timestamp": days}).write_parquet(folder / "interactions.parquet")
    counts = dataset_files.volume(dataset)
    assert (len(counts), counts[0], counts[-1]) == (73, ("2020-01-01", 1), ("2026-01-01", 1))


def test_damaged_files_are_said_and_break_nothing(client: TestClient, folder: Path) -> None:
    for file in ("interactions.parquet", "quarantine.parquet"):
        (folder / file).write_bytes(b"no parquet")
    page = client.get("/ui/data/a%20b%3Ci%3E")
    assert (page.status_code, "Days are not counted here" in page.text) == (200, True)
    (folder / "summary.json").write_text('{"dataset": 3}')
    assert "cannot be read" in client.get(HOME).text
    assert "cannot be read" in client.get("/ui/data/a%20b%3Ci%3E").text
    for wrong in ("nothing", "..%2Fdatasets", "..%2F..%2Fhome"):
        assert client.get(f"{HOME}/{wrong}").status_code in (404, 422), wrong


def test_keys_see_rows_of_users_only_with_histories(log_in: LogIn, folder: Path) -> None:
    assert "needs the scope <code>admin</code>" in log_in("ui").get(HOME).text
    admin = log_in("ui", "admin").get("/ui/data/a%20b%3Ci%3E").text
    assert ("needs the scope <code>histories</code>" in admin, "&lt;b&gt;u" in admin) == (True, False)


def test_a_home_without_datasets_says_how_to_make_one(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "none"))
    assert "recsys ingest LOG --to NAME" in client.get(HOME).text
