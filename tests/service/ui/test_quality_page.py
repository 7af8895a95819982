"""/ui/quality: decisions and runs as their files tell of them; what is none is passed over; all is text."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pipelines.promotion.comparison import SliceResult, Verdict
from pipelines.promotion.decision import Decision, Outcome, Side
from pipelines.promotion.guard_rails import RailResult
from pipelines.promotion.limits import Limits
from pipelines.promotion.records import write_pages
from service.ui.gate_decisions import decisions_of, registry_address, runs_of
from tests.service.ui.logins import LogIn

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECSYS_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def decided(home: Path) -> Path:
    """A decision as `recsys promote` writes it."""
    results = [
        SliceResult(name, "ndcg@20", 50, 0.2, 0.25, low, high, 0.95, 0.01, verdict)
        for name, low, high, verdict in (
            ("all users", 0.01, 0.09, Verdict.BETTER),
            (HOSTILE, None, None, Verdict.TOO_FEW),
        )
    ]
    rails = (RailResult("coverage", 0.5, None, "at least 0.01", holds=True),)
    decision = Decision(
        Outcome.PROMOTE, (f"Good: {HOSTILE}.",), Side("ease-1"), None, Limits(), slices=tuple(results), rails=rails,
        decided_at="2026-11-30T05:00:00+00:00",
    )  # fmt: skip
    page = home / "decisions" / "films" / "20261130T050000-version-7.html"
    page.parent.mkdir(parents=True)
    write_pages(decision, page, name="films", version="7", champion=None)
    return page


def test_a_decision_is_read_as_it_was_written(decided: Path) -> None:
    [found] = decisions_of("films")
    assert (found.version, found.champion, found.word, found.at) == ("7", "", "promoted", "2026-11-30 05:00")
    assert [(one.challenger, one.champion, one.verdict) for one in found.overall] == [(0.25, 0.2, "better")]
    assert [(one.name, one.holds) for one in found.rails] == [("coverage", True)]


def test_the_pages_show_it_as_text(decided: Path, client: TestClient) -> None:
    assert 'href="/ui/quality/films"' in client.get("/ui/quality").text
    page = client.get("/ui/quality/films").text
    assert "too few users" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "0.2500" in page
    for address in ("/ui/quality/films?decision=nothing&metric=nothing", f"/ui/quality/films?decision={decided.stem}"):
        assert client.get(address).status_code == 200
    assert client.get("/ui/quality/..%2Ffilms").status_code == 404
    assert client.get("/ui/quality/other").status_code == 404


def test_the_drift_of_a_run_is_what_its_check_found_odd(home: Path, client: TestClient) -> None:
    run = home / "retraining" / "films" / "runs" / "20261130T052043Z"
    run.mkdir(parents=True)
    figures = {"against": "films", "checks": 19, "warn: volume_fall": 0.77, "stop: new_items": None}
    steps = {"check": {"figures": figures}, "evaluate": {"figures": {"recall@20": 0.3, "users asked": 9}}}
    (run / "run.json").write_text(json.dumps({"started_at": "2026-11-30T05:20:43Z", "status": "done", "steps": steps}))
    [found] = runs_of("films")
    assert found.drift == (("warn", "volume_fall", 0.77), ("stop", "new_items", None))
    assert found.metrics == {"recall@20": 0.3}
    assert "volume fall" in client.get("/ui/quality/films").text


@pytest.mark.parametrize(
    "content", ["", "[]", "7", "[" * 100_000, '{"decision": 3, "slices": [1], "rails": {"a": []}, "asked": 1}']
)
def test_files_of_another_make_break_nothing(home: Path, client: TestClient, content: str) -> None:
    for path in ("decisions/films/a.json", "retraining/films/runs/2/run.json"):
        (home / path).parent.mkdir(parents=True)
        (home / path).write_text(content)
    assert client.get("/ui/quality").status_code == 200
    assert client.get("/ui/quality/films").status_code == 200


def test_without_recommend_nothing_is_told(decided: Path, log_in: LogIn) -> None:
    client = log_in("ui", "histories")
    assert "films" not in client.get("/ui/quality").text
    assert client.get("/ui/quality/films").status_code == 403


def test_mlflow_is_linked_where_it_is_a_server_and_never_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry_address("films", "3") == ""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@ml.example:5000/base/")
    assert registry_address("fi lms", "3") == "https://ml.example:5000/base/#/models/fi%20lms/versions/3"
