"""`recsys serve` and `recsys load-history` as their users meet them."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import polars as pl
import pytest

from service.server import listening
from service.store.events import EventStore
from tests.prepared import waiting
from tests.service.tiny import HISTORIES, write_tiny_bundle

PATIENCE_SECONDS = 60


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A RECSYS_HOME with one dataset: the six users of the tiny world."""
    folder = tmp_path / "home" / "datasets" / "tiny"
    folder.mkdir(parents=True)
    rows = [(user, item_id) for user, item_ids in HISTORIES.items() for item_id in item_ids]
    frame = pl.DataFrame(rows, schema={"user_id": pl.String, "item_id": pl.String}, orient="row").with_columns(
        event_type=pl.lit(None, pl.String),
        weight=pl.lit(1.0, pl.Float32),
        timestamp=pl.lit(None, pl.Datetime("us", "UTC")),
        position=pl.lit(None, pl.UInt32),
    )
    frame.write_parquet(folder / "interactions.parquet")
    return tmp_path / "home"


def environment(home: Path) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("RECSYS_", "MLFLOW_"))}
    return plain | {"RECSYS_HOME": str(home)}


def recsys(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*waiting().command(), *arguments],
        capture_output=True, text=True, env=environment(home), timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip


@contextmanager
def serving(home: Path, bundle: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A real server on a free port, and its address once it has said so."""
    command = [*waiting().command(), "serve", str(bundle), "--port", "0", *flags]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(home)
    ) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", first)
            assert found, first
            yield process, found.group()
        finally:
            process.kill()


def ask(url: str, body: object = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=PATIENCE_SECONDS) as response:
        return json.load(response)


def check_one_error_line(finished: subprocess.CompletedProcess[str], words: str) -> None:
    assert (finished.returncode, finished.stdout) == (1, "")
    lines = finished.stderr.splitlines()
    assert len(lines) == 1, finished.stderr
    assert lines[0].startswith("error: ")
    assert words in lines[0]


def test_answers_on_a_kept_connection_are_sent_at_once() -> None:
    with listening.listen("localhost", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # what asyncio asks before it sets TCP_NODELAY
        assert re.fullmatch(r"http://(127\.0\.0\.1|\[::1\]):\d+", listening.address(listener))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_from_a_dataset_to_answers_over_http_and_a_clean_stop(home: Path, bundle_path: Path, number: int) -> None:
    loaded = recsys(home, "load-history", "tiny")
    assert "18 events, 18 new, 0 known already" in loaded.stdout
    with serving(home, bundle_path) as (process, url):
        assert ask(f"{url}/health/ready") == {"status": "ok"}
        known = ask(f"{url}/v1/users/u0/recommendations?k=3")
        sent = ask(f"{url}/v1/recommendations", {"history": list(HISTORIES["u0"]), "k": 3})
        assert known["items"] == sent["items"]
        assert known["tier"] == "history"
        with pytest.raises(HTTPError) as caught:
            ask(f"{url}/v1/recommendations", {"k": 0})
        assert (caught.value.code, caught.value.headers["Content-Type"]) == (422, "application/problem+json")
        caught.value.close()
        process.send_signal(number)
        rest, complaints = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    lines = [json.loads(line) for line in complaints.splitlines()]
    assert [(line["event"], line["status"]) for line in lines] == [("request", 200), ("request", 200), ("request", 422)]
    assert rest.splitlines()[-1] == "Stopped."


def test_the_pages_are_shown_without_a_service_and_nothing_is_left(home: Path, tmp_path: Path) -> None:
    write_tiny_bundle(home / "bundles" / "tiny", "ease")
    command = [*waiting().command(), "ui", "--dataset", "tiny", "--port", "0"]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    variables = environment(home) | {"TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1", "RECSYS_WORKERS": "3"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(4)]
        assert said[0].startswith("Showing dataset tiny with ease-")
        address = said[1].split()[-1]
        assert list(scratch.iterdir())
        for page in ("", "/users/u0", "/data"):
            with urlopen(f"{address}{page}", timeout=PATIENCE_SECONDS) as response:
                assert response.status == 200
                assert "u0" in response.read().decode() or page != "/users/u0"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, rest) == (0, "Stopped.\n")
    assert list(scratch.iterdir()) == []
    assert not (home / "events.db").exists()


def test_variants_are_told_with_their_shares_and_compared(home: Path, bundle_path: Path, tmp_path: Path) -> None:
    other = write_tiny_bundle(tmp_path / "other", "popularity")
    command = [*waiting().command(), "serve", "--port", "0"]
    flags = ["--variant", f"a=3:{bundle_path}", "--variant", f"b=1:{other}", "--no-access-log"]
    with subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, text=True, env=environment(home)) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "a 75%: ease-" in first
        assert "b 25%: popularity-" in first
        answer = ask(f"{first.split()[-1]}/v1/recommendations", {"user_id": "u0", "k": 2})
        event = {"user_id": "u0", "item_id": answer["items"][0]["item_id"], "request_id": answer["request_id"]}
        assert ask(f"{first.split()[-1]}/v1/events", {"events": [event]})["accepted"] == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    told = recsys(home, "uplift").stdout.splitlines()
    assert told[1].split() == [answer["variant"], "1", "1", "1", "100.00", "%", "unknown"]


def test_a_bundle_that_cannot_be_used_is_one_line_before_a_port_is_opened(
    home: Path, bundle_path: Path, tmp_path: Path
) -> None:
    damaged = shutil.copytree(bundle_path, tmp_path / "damaged")
    (damaged / "items.parquet").write_bytes(b"")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        check_one_error_line(recsys(home, "serve", str(damaged), "--port", port), "altered or cut short")
        check_one_error_line(recsys(home, "serve", str(tmp_path / "nowhere"), "--port", port), "not a bundle")
        check_one_error_line(recsys(home, "serve", str(bundle_path), "--port", port), "choose another --port")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve"], "Name what to serve"),
        (["serve", "here", "--model", "models:/m@champion"], "name one of them"),
        (["serve", "--variant", "a=1"], "NAME=WEIGHT:SOURCE"),
        (["serve", "--follow"], "does not say what to serve"),
        (["serve", "here", "--port", "99999"], "RECSYS_PORT"),
        (["serve", "nowhere", "--rate-limit", "abc"], "is no rate"),  # before the bundle is looked for
        (["uplift"], "nothing to compare"),
        (["serve", "here", "--store", "mysql://db"], "SQLite or PostgreSQL"),
        (["serve", "--model", "models:/m@champion"], "no MLflow store"),
        (["load-history", "tony"], "mean 'tiny'"),
        (["ui", "--dataset", "tony"], "mean 'tiny'"),
        (["ui"], "has learned from dataset 'tiny'"),
        (["ui", "--bundle", "nowhere"], "not a bundle"),
        (["load-history", "tiny", "--store", "sqlite:////proc/nowhere/events.db"], "does not answer"),
    ],
)
def test_what_cannot_work_is_one_line(home: Path, arguments: list[str], words: str) -> None:
    check_one_error_line(recsys(home, *arguments), words)


def test_loading_again_adds_nothing_and_replacing_starts_over(home: Path) -> None:
    recsys(home, "load-history", "tiny")
    assert "18 events, 0 new, 18 known already" in recsys(home, "load-history", "tiny").stdout
    path = str(home / "datasets" / "tiny")
    assert "18 events, 18 new, 0 known already" in recsys(home, "load-history", path, "--replace").stdout
    with closing(EventStore(f"sqlite:///{home / 'events.db'}")) as store:
        store.erase("u0")
    again = recsys(home, "load-history", path).stdout
    assert "18 events, 0 new, 15 known already, 3 left out: their users were erased" in again


def test_another_dataset_is_not_poured_into_the_same_store_unasked(home: Path) -> None:
    recsys(home, "load-history", "tiny")
    shutil.copytree(home / "datasets" / "tiny", home / "datasets" / "other")
    check_one_error_line(recsys(home, "load-history", "other"), "holds dataset tiny already")
    own_store = ("--store", f"sqlite:///{home / 'other.db'}")
    assert "18 new" in recsys(home, "load-history", "other", *own_store).stdout
    # The same events under another name are the same events.
    assert "0 new, 18 known already" in recsys(home, "load-history", "other", "--mix").stdout
