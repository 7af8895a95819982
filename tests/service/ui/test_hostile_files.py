"""Files under RECSYS_HOME that are broken, endless, or lead elsewhere: an empty place, never an error nor a secret."""

import json
import os
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from fastapi.testclient import TestClient

from recsys_vae.images.saved import Origin, save_image_model
from recsys_vae.pages.formatting import NOTHING, moment, number
from service.ui import retraining_runs
from service.ui.datasets import MOST_PLACES, volume_of
from service.ui.plain_files import LARGEST, content_of, text, whole
from tests.recsys_vae.images.small import untrained

HUGE = "1" + "0" * 400
BEGAN = '"run": "r", "job": "j", "started_at": "2026-11-02T04:00:00Z"'
HALF = r"\ud800"
SUMMARIES = (
    '{"rows_in": 1e999, "kept": {"interactions": 1e999, "users": NaN}}',
    '{"rows_in": 5, "kept": {"interactions": NaN}}',
    f'{{"rows_in": {HUGE}, "kept": {{"interactions": {HUGE}}}, "quarantined": [{{"name": "x", "rows": {HUGE}}}]}}',
    '{"rows_in": -1, "kept": {"interactions": -3, "first": "9999-12-31T23:59:59-12:00"}}',
    '{"notes": [' + "[" * 900 + "]" * 900 + "]}",
    f'{{"rules": {{"{HALF}": "{HALF}"}}, "notes": ["{HALF}"], "quarantined": [{{"name": "{HALF}", "rows": 1}}]}}',
    "null", "[]", "", '{"kept": [], "rules": 5, "sources": {}, "times": 3}',
)  # fmt: skip
JOURNALS = (
    f'{{{BEGAN}, "status": "done", "steps": {{"a": {{"name": "a", "status": "done", "seconds": Infinity, '
    f'"figures": {{"x": NaN, "y": {HUGE}, "m@1": 1e999}}}}, "evaluate": {{"name": "e", "status": "done", '
    f'"seconds": -1e300, "figures": {{"ndcg@10": 1e299, "x@1": 5e-324}}}}}}}}',
    '{"run": "r", "job": "j", "status": "running", "started_at": "0001-01-01T00:00:00+12:00"}',
    f'{{{BEGAN}, "status": "{HALF}", "note": "{HALF}"}}',
    "null", "", '{"steps": {"evaluate": {"figures": {"a@1": true}}}}',
)  # fmt: skip
DECISIONS = (
    f'{{"decision": "x", "version": {HUGE}, "slices": [{{"name": "all users", "metric": "{HALF}", '
    '"challenger": 1e299, "champion": -1e299, "n_users": 1e299}]}',
    '{"decision": {"a": 1}, "slices": [1, null, {"name": "all users", "metric": "m", "challenger": 5e-324}]}',
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "home"
    for folder in ("datasets/d", "retraining/j/runs/2026", "decisions/j"):
        (place / folder).mkdir(parents=True)
    monkeypatch.setenv("RECSYS_HOME", str(place))
    return place


def read_all(client: TestClient) -> str:
    """All pages that read files, none of which may fail."""
    found = ""
    for address in ("data", "data/d", "jobs", "jobs/j/2026", "quality", "quality/j", "images"):
        response = client.get(f"/ui/{address}")
        assert response.status_code in (200, 404), address
        found += response.text
    return found


def test_no_broken_file_breaks_a_page(home: Path, client: TestClient) -> None:
    most = max(len(SUMMARIES), len(JOURNALS), len(DECISIONS))
    for number_of in range(most):
        (home / "datasets/d/summary.json").write_text(SUMMARIES[number_of % len(SUMMARIES)])
        (home / "retraining/j/runs/2026/run.json").write_text(JOURNALS[number_of % len(JOURNALS)])
        (home / "decisions/j/1.json").write_text(DECISIONS[number_of % len(DECISIONS)])
        read_all(client)


def test_names_that_are_no_text_break_no_page(home: Path, client: TestClient) -> None:
    for folder in ("datasets", "retraining"):
        os.mkdir(os.fsencode(home / folder) + b"/\xff\xfe")
        (home / folder / os.fsdecode(b"\xff\xfe") / "summary.json").write_text("{}")
    read_all(client)


def test_links_out_of_the_home_and_what_is_no_plain_file_are_not_read(
    home: Path, client: TestClient, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    for kind, folder in (("datasets", "d"), ("retraining", "j/runs/2026"), ("decisions", "j")):
        (outside / kind / folder).mkdir(parents=True)
        (home / kind / "stray").symlink_to(outside / kind / folder.partition("/")[0])
    told = f'{{{BEGAN}, "status": "done", "note": "elsewhere", "decision": "elsewhere", "notes": ["elsewhere"]}}'
    (outside / "told.json").write_text(told)
    (outside / "datasets/d/summary.json").write_text(told)
    pl.DataFrame({"reason": ["elsewhere"], "raw": ["elsewhere"]}).write_parquet(outside / "q.parquet")
    (outside / "retraining/j/runs/2026/run.json").write_text(told)
    (outside / "decisions/j/1.json").write_text(told)
    save_image_model(outside / "model", untrained("vae"), Origin(dataset="elsewhere"), [])
    (home / "m").mkdir()
    for path in (outside / "model").iterdir():
        (home / "m" / path.name).symlink_to(path)
    run = home / "retraining/j/runs/2026"
    for place in (home / "datasets/d/summary.json", run / "run.json", run / "log.txt", home / "decisions/j/1.json"):
        place.symlink_to(outside / "told.json")
    (home / "datasets/d/quarantine.parquet").symlink_to(outside / "q.parquet")
    (run / "01-a.log").symlink_to(outside / "told.json")
    os.mkfifo(run / "02-b.log")
    os.mkfifo(home / "decisions/j/2.json")
    assert "elsewhere" not in read_all(client)
    for address in ("data/stray", "jobs/stray/2026", "quality/stray", "jobs/j/2026?log=01-a.log"):
        assert client.get(f"/ui/{address}").status_code == 404, address


def test_a_file_is_read_up_to_a_length(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": "x" * LARGEST}))
    assert content_of(path) == {}
    path.write_text('{"a": 1}')
    assert content_of(path) == {"a": 1}
    assert whole(10**400) == whole(-1) == 0
    assert number(10**400) == moment(2**62) == NOTHING


def test_secrets_are_hidden_whole_or_cut_and_between_colours(
    home: Path, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2hunter2")
    run, address = home / "retraining/j/runs/2026", "postgresql://me:pass-word@host/db"
    step = {"name": "a", "status": "done", "note": address, "command": ["load", address], "figures": {"at": address}}
    told = {"run": "r", "job": "j", "status": "done", "started_at": "2026-11-02T04:00:00Z", "note": address}
    (run / "run.json").write_text(json.dumps(told | {"steps": {"a": step}}))
    (run / "log.txt").write_text("hunter\x1b[0m2hunter2\nhunter2\x00hunter2\n")
    summary = {"sources": [address, "s3://b?X-Amz-Signature=pass-word"], "notes": [address]}
    (home / "datasets/d/summary.json").write_text(json.dumps(summary))
    found = read_all(client)
    assert "hunter2" not in found
    assert "pass-word" not in found
    assert found.count("***") >= 8
    (run / "log.txt").write_text("x" * 10 + "hunter2hunter2" + "\n" + "y" * (retraining_runs.TAIL_BYTES - 8))
    assert "hunter" not in retraining_runs.tail(run / "log.txt")
    assert text("x" * 195 + "postgresql://me:pass-word@host/db").startswith("x" * 195)
    assert "pass" not in text("x" * 180 + address)


@pytest.mark.parametrize(
    ("days", "every", "labels"),
    [
        ((date(2026, 1, 1), date(2026, 1, 3)), "day", ["2026-01-01", "2026-01-02", "2026-01-03"]),
        ((date(9999, 12, 30), date(9999, 12, 31)), "day", ["9999-12-30", "9999-12-31"]),
        ((date(1, 1, 1), date(9999, 12, 31)), "century", None),
        ((date(2000, 1, 31), date(2026, 1, 1)), "month", None),
        ((date(2024, 1, 2), date(2026, 1, 1)), "week", None),
    ],
)
def test_a_chart_of_events_has_few_places_however_wrong_times_are(
    home: Path, days: tuple[date, date], every: str, labels: list[str] | None
) -> None:
    times = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
    pl.DataFrame({"timestamp": times}).write_parquet(home / "datasets/d/interactions.parquet")
    volume = volume_of(home / "datasets/d")
    assert volume is not None
    assert (volume.every, sum(volume.counts)) == (every, 2)
    assert len(volume.labels) <= MOST_PLACES
    assert labels is None or list(volume.labels) == labels
