"""/ui/experiments: what `recsys uplift` counts, once a minute, for keys that may read it."""

from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service import timestamps
from service.app import create_app
from service.experiments.live_test import DAY
from service.settings import Settings
from service.store.events import Event, EventStore
from service.store.impressions import Impression, ImpressionTable
from service.store.live_tests import LiveTestTable, Plan
from service.ui.pages import experiments
from tests.service.tiny import write_tiny_bundle
from tests.service.ui.logins import LogIn

N = 400


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    for name in ("ease", "popularity"):
        write_tiny_bundle(folder / name, name)
    return folder


def settings_of(root: Path, tmp_path: Path, **more: object) -> Settings:
    variants = (f"a=1:{root / 'ease'}", f"b=1:{root / 'popularity'}")
    return Settings(variant=variants, store=f"sqlite:///{tmp_path / 'events.db'}", **more)  # type: ignore[arg-type]


def run_test(url: str, since: int, at: int) -> None:
    """Users of either variant, a list each; half of those of b click, none of a, over three days."""
    with closing(EventStore(url)) as store:
        lists = [
            Impression(f"r{n}", f"u{n}", "ab"[n % 2], "v", True, ("x",), since + n % 3 * DAY + 1) for n in range(N)
        ] + [Impression(f"now{n}", f"u{n}", "ab"[n % 2], "v", True, ("x",), at) for n in range(N)]
        clicks = [
            Event(one.request_id, one.user_id, "x", "click", 1.0, one.answered_at + 1, one.request_id)
            for number, one in enumerate(lists)
            if number % 4 == 1
        ]
        ImpressionTable(store.database).add(lists)
        store.take(clicks, "api")
        LiveTestTable(store.database).add(Plan("split", "a", "b", since, 1, "click-through", None, 0.05, 0.03, 50))


def test_verdict_rates_and_guard_rails_are_there_and_counted_once(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(root, tmp_path)
    with TestClient(create_app(settings)) as client:
        run_test(settings.store_url, timestamps.now() - 3 * DAY - 1, timestamps.now() + 10**6)
        text = client.get("/ui/experiments").text
        assert "b is better, as day" in text
        assert "Plan 1: b against a" in text
        assert "a 200 for 200, b 200 for 200; chance of that: 1" in text
        assert '<td class="n">50.00 %</td>' in text
        assert "50.00 points" in text
        assert "0 of 200" in text
        monkeypatch.setattr(experiments, "view", lambda database, variant_set: 1 / 0)
        assert client.get("/ui/experiments").text == text


def test_without_a_plan_nothing_is_decided_or_written_down(root: Path, tmp_path: Path) -> None:
    settings = settings_of(root, tmp_path)
    with TestClient(create_app(settings)) as client:
        text = client.get("/ui/experiments").text
        assert "No plan is on record" in text
        assert "No day has ended" in text
    with closing(EventStore(settings.store_url)) as store:
        assert LiveTestTable(store.database).all() == []


def test_one_variant_has_no_test(client: TestClient) -> None:
    text = client.get("/ui/experiments").text
    assert "No live test" in text
    assert "No list that was shown is kept" in text


def test_it_takes_the_scope_histories(log_in: LogIn) -> None:
    assert "<code>histories</code>" in log_in("ui", "recommend").get("/ui/experiments").text
