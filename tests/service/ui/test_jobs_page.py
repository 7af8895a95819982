"""Jobs: journals as the weekly job writes them, damaged ones, hostile ones, and none."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.ui import retraining_runs
from tests.service.ui.logins import LogIn

HOME = "/ui/jobs"
BEGAN = datetime(2026, 11, 2, 4, 0, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a run as the weekly job would."""
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "home"))

    def written(name: str, job: str = "shop", log: str = "", **changes: object) -> Path:
        folder = tmp_path / "home" / "retraining" / job / "runs" / name
        folder.mkdir(parents=True)
        began = {"started_at": BEGAN.isoformat(), "status": "done"}
        step = {"name": "ingest", "fingerprint": "f", "seconds": 83.2, "command": ["ingest", "a.csv"], **began}
        steps = {"ingest": step | {"figures": {"rows": 12, "page": HOSTILE}}}
        told = {"format": 1, "run": name, "job": job, "note": "", "steps": steps, **began}
        (folder / "run.json").write_text(json.dumps(told | changes))
        (folder / "log.txt").write_text(log)
        return folder

    return written


def test_runs_stand_with_status_time_and_note(client: TestClient, write: Write) -> None:
    write("20261102T040000Z", status="stopped", note=f"refused: {HOSTILE}")
    (write("20261109T040000Z") / "run.json").write_text("{")
    text = client.get(HOME).text
    assert text.index("20261109") < text.index("20261102")
    for words in ("1 min 23 s", 'badge warn">stopped</span>', "&lt;script&gt;", "cannot be read", "not known here"):
        assert words in text, words
    assert HOSTILE not in text


def test_a_run_shows_steps_figures_progress_and_the_end_of_a_log(
    client: TestClient, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2hunter2")
    lines = "T shop r 1/15 collect: begins\nT shop r 2/15 ingest: begins\n"
    folder = write("20261102T040000Z", log=lines, status="running")
    (folder / "02-ingest.log").write_text(f"\x1b[31mred\x1b[0m\r\n{HOSTILE} hunter2hunter2\n" + "line\n" * 150)
    (folder / "secret.txt").write_text("nobody reads this")
    address = f"{HOME}/shop/20261102T040000Z"
    text = client.get(address).text
    assert '<progress max="15" value="1"' in text
    assert "step 2 of 15" in text
    assert 'hx-trigger="every 15s"' in text
    assert "recsys ingest a.csv" in text
    log = client.get(f"{address}?log=02-ingest.log").text
    shown = log.partition('aria-label="End of')[2].partition("</pre>")[0]
    assert shown.partition(">")[2].startswith("red\n&lt;script&gt;")
    assert (HOSTILE in text + log, "hunter2" in log, "\x1b" in log) == (False, False, False)
    for wrong in ("secret.txt", "../run.json", "/etc/passwd", "99-none.log"):
        assert client.get(address, params={"log": wrong}).status_code == 404, wrong


def test_what_is_no_run_is_not_found(client: TestClient, write: Write, tmp_path: Path) -> None:
    write("20261102T040000Z")
    outside = tmp_path / "home" / "other" / "runs" / "20261102T040000Z"
    outside.mkdir(parents=True)
    for path in ("shop/nothing", "..%2Fother/20261102T040000Z", "shop/..%2F20261102T040000Z", "none/20261102T040000Z"):
        assert client.get(f"{HOME}/{path}").status_code in (404, 422), path


def test_names_that_would_break_addresses_are_linked_to(client: TestClient, write: Write) -> None:
    write('2026 "x" <b>?#', job="a b&'<i>")
    text = client.get(HOME).text
    assert "<i>" not in text
    link = "/ui/jobs/a%20b%26%27%3Ci%3E/2026%20%22x%22%20%3Cb%3E%3F%23"
    assert f'href="{link}"' in text
    assert client.get(link).status_code == 200


@pytest.mark.parametrize(("hours", "words"), [(168, "2026-11-23 04:00"), (0, None)])
def test_the_next_run_is_expected_by_the_rhythm_of_the_last(write: Write, hours: int, words: str | None) -> None:
    for week in range(3):
        write(f"2026110{week}", started_at=(BEGAN + timedelta(hours=hours * week)).isoformat())
    found = retraining_runs.expected(retraining_runs.runs("shop", 20))
    assert (f"{found[0]:%Y-%m-%d %H:%M}" if found else None) == words
    assert retraining_runs.expected(retraining_runs.runs("shop", 2)) is None


def test_a_home_without_jobs_and_a_key_without_the_scope_are_told_so(
    client: TestClient, log_in: LogIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path / "none"))
    assert "No weekly job has run" in client.get(HOME).text
    other = log_in("ui", "recommend")
    assert "needs the scope <code>admin</code>" in other.get(HOME).text
    assert other.get(f"{HOME}/shop/1").status_code == 403
