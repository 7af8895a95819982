import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog
from fastapi.testclient import TestClient

from recsys_vae.recommender import FallbackChain
from service.app import create_app
from service.observability import logs
from service.security.api_keys import entry_of, new_key
from service.settings import Settings
from tests.service.tiny import only


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines_of(settings: Settings, chain: FallbackChain, *addresses: str, key: str = "") -> list[dict]:
    stream = io.StringIO()
    logs.configure(settings, stream)
    with TestClient(create_app(settings, only(chain))) as client:
        for address in addresses:
            client.get(address, headers={"X-Request-ID": "r1"} | ({"Authorization": f"Bearer {key}"} if key else {}))
    return [json.loads(line) for line in stream.getvalue().splitlines() if "recsys" in line]


def test_a_request_is_one_line_of_json_with_its_identity_and_no_ids(settings: Settings, chain: FallbackChain) -> None:
    key = new_key()
    guarded = settings.model_copy(update={"keys": str(entry_of(key, "shop", ["recommend"]))})
    [line] = lines_of(guarded, chain, "/v1/users/u0-secret/recommendations?k=3", key=key)
    assert line | {"milliseconds": 0, "timestamp": "", "process": 0} == {
        "event": "request", "level": "info", "logger": "recsys.requests", "request_id": "r1", "method": "GET",
        "route": "/v1/users/{user_id}/recommendations", "status": 200, "key": "shop", "tier": "popular",
        "milliseconds": 0, "timestamp": "", "process": 0,
    }  # fmt: skip
    assert line["milliseconds"] > 0
    assert key not in json.dumps(line)


def test_addresses_are_written_where_the_settings_ask_for_them(settings: Settings, chain: FallbackChain) -> None:
    asked = settings.model_copy(update={"log_paths": True})
    assert lines_of(asked, chain, "/v1/bundle")[0]["path"] == "/v1/bundle"


def test_a_refusal_says_why(settings: Settings, chain: FallbackChain) -> None:
    guarded = settings.model_copy(update={"keys": str(entry_of(new_key(), "shop", ["recommend"]))})
    [line] = lines_of(guarded, chain, "/v1/bundle")
    assert (line["status"], line["refusal"]) == (401, "no-key")


def test_whoever_only_asks_for_health_is_not_written_and_requests_can_be_left_out(
    settings: Settings, chain: FallbackChain
) -> None:
    assert lines_of(settings, chain, "/health/live", "/health/ready") == []
    assert lines_of(settings.model_copy(update={"access_log": False}), chain, "/v1/bundle") == []


def test_a_defect_is_one_more_line_under_the_same_identity(
    settings: Settings, chain: FallbackChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.ranking.engine.answer_all", lambda *_: 1 / 0)
    defect, request = lines_of(settings, chain, "/v1/users/u0/recommendations")
    assert (defect["level"], defect["request_id"], request["status"], request["level"]) == ("error", "r1", 500, "error")
    assert defect["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert "locals" not in json.dumps(defect["exception"])


def test_a_terminal_gets_words_and_a_pipe_json(settings: Settings) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = {}
    for stream in (Terminal(), io.StringIO()):
        logs.configure(settings, stream)
        logging.getLogger("recsys.service").warning("The store is %s.", "slow")
        shown[stream.isatty()] = stream.getvalue()
    assert "The store is slow." in shown[True]
    assert not shown[True].startswith("{")
    assert json.loads(shown[False])["event"] == "The store is slow."


@pytest.mark.parametrize("seconds", [(0.0, 0.25), (1.000001, 1.999999, 2.0), (1.8e9, 1.8e9 + 0.5, 1.8e9 + 86_400)])
def test_a_line_says_when(seconds: tuple[float, ...]) -> None:
    now = logs.Clock(iter(seconds).__next__)
    for moment in seconds:
        told = datetime.fromisoformat(now())
        assert told.tzinfo == UTC
        assert abs(told.timestamp() - moment) < 1.5e-6
