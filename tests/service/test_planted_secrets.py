"""Secrets stand in every setting that may hold one, nothing that they open answers: nobody is told them."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from pipelines.cli import build
from recsys_vae.errors import UnavailableError
from service.app import create_app
from service.deployment.bundle_sources import resolved
from service.observability import logs
from service.settings import Settings
from tests.pipelines.datasets_of_tastes import dataset_of_tastes

SECRETS = {
    "MLFLOW_TRACKING_URI": "http://me:pl@nted-1@127.0.0.1:1",
    "RECSYS_STORE": "postgresql+psycopg://me:planted-2@127.0.0.1:1/db",
    "RECSYS_RATE_LIMIT_STORE": "redis://:planted-3@127.0.0.1:1/0",
    "MLFLOW_TRACKING_TOKEN": "planted-4",
    "AWS_SECRET_ACCESS_KEY": "planted-5",
    "PGPASSWORD": "planted-6",
    "MLFLOW_S3_ENDPOINT_URL": "https://key:planted-7@127.0.0.1:1",
}
PLANTED = ("planted-", "nted-1")
COMMANDS = (
    ("doctor",),
    ("train", "tastes", "--to", "bundle", "--model", "popularity"),
    ("promote", "movies"),
    ("register", "BUNDLE", "--as", "movies"),
    ("serve", "--model", "models:/movies@champion"),
    ("load-history", "tastes"),
    ("export-events", "--to", "events.parquet"),
)


@pytest.fixture
def planted(recsys_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    dataset_of_tastes(recsys_home / "datasets" / "tastes")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check_nothing_is_told(text: str) -> None:
    told = [line for line in text.splitlines() if any(secret in line for secret in PLANTED)]
    assert told == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_tells(
    planted: Path, bundle_path: Path, caplog: pytest.LogCaptureFixture, command: tuple[str, ...]
) -> None:
    arguments = [str(bundle_path) if word == "BUNDLE" else word for word in command]
    done = CliRunner().invoke(build(), arguments)
    assert done.exit_code, done.stdout
    check_nothing_is_told(done.output + str(done.exception) + caplog.text)
    for file in planted.rglob("*.json"):
        check_nothing_is_told(file.read_text())


def test_no_answer_and_no_log_line_tells(planted: Path, bundle_path: Path) -> None:
    lines = io.StringIO()
    settings = Settings(bundle=bundle_path, store=f"sqlite:///{planted / 'events.db'}", log_format="json")
    logs.configure(settings, lines)
    with TestClient(create_app(settings)) as client:
        refused = client.post("/v1/admin/reload", json={"source": "models:/movies@champion"})
    assert refused.status_code == 503, refused.text
    check_nothing_is_told(refused.text + lines.getvalue())
    assert "127.0.0.1" in lines.getvalue() + refused.text  # the address is told, its password is not


def test_a_traceback_in_the_log_tells_nothing(planted: Path) -> None:
    lines = io.StringIO()
    logs.configure(Settings(bundle=planted, log_format="json"), lines)
    import structlog

    try:
        resolved("models:/movies@champion")
    except UnavailableError:
        structlog.get_logger().error("the registry does not answer", exc_info=True)
    line = json.loads(lines.getvalue().splitlines()[-1])
    assert line["exception"]
    check_nothing_is_told(lines.getvalue())
