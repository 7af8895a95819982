"""Several workers behind one address: replaced when they die, stopped together, counted together."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from service.security.api_keys import entry_of, new_key
from service.server.pages_server import NICENESS
from tests.service.test_serve import check_one_error_line, environment, recsys
from tests.service.test_serve import home as home  # noqa: PLC0414
from tests.service.tiny import write_tiny_bundle

PATIENCE_SECONDS = 120


class Service:
    """`recsys serve` with two workers, and who asks it."""

    def __init__(self, home: Path, bundle: Path, *flags: str) -> None:
        import re
        import subprocess
        import sys

        self.key = new_key()
        keys = home / "keys"
        keys.write_text(str(entry_of(self.key, "shop", ["recommend", "metrics", "admin"])))
        command = [sys.executable, "-m", "pipelines.cli", "serve", str(bundle), "--port", "0", "--workers", "2"]
        self.log = (home / "log").open("w+")
        self.process = subprocess.Popen(
            [*command, "--keys-file", str(keys), *flags],
            stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment(home),
        )  # fmt: skip
        assert self.process.stdout is not None
        self.first = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", self.first)
        assert found, self.first + (home / "log").read_text()
        self.url = found.group()

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()

    def post(self, address: str) -> dict:
        request = Request(self.url + address, b"", {"Authorization": f"Bearer {self.key}"})
        with urlopen(request, timeout=PATIENCE_SECONDS) as response:
            return json.load(response)

    def ask(self, address: str, body: object = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        with urlopen(Request(self.url + address, data, headers), timeout=PATIENCE_SECONDS) as response:
            return response.read()

    def metric(self, name: str) -> float:
        lines = self.ask("/metrics").decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def workers(self) -> set[int]:
        """The processes that answer: forked from a process of their own, or begun afresh."""
        begun = children(self.process.pid)
        forked = {worker for pid in begun if runs(pid, b"forkserver") for worker in children(pid)}
        return forked | {pid for pid in begun if runs(pid, b"spawn_main")}


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int, what: bytes) -> bool:
    return what in Path(f"/proc/{pid}/cmdline").read_bytes()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def lines(home: Path) -> list[dict]:
    return [json.loads(line) for line in (home / "log").read_text().splitlines()]


def test_a_worker_that_dies_is_replaced_and_all_are_counted_and_stopped_together(home: Path, bundle_path: Path) -> None:
    with Service(home, bundle_path, "--log-paths") as service:
        assert "by 2 workers" in service.first
        before = service.workers()
        assert len(before) == 2
        for _ in range(20):
            service.ask("/v1/recommendations", {"history": ["a"], "k": 2})
        assert service.metric("recsys_answers_total") == 20
        assert service.metric("recsys_workers ") == 2
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(service.workers()) == 2 and victim not in service.workers())
        wait_until(lambda: service.metric("recsys_worker_starts_total") == 3)
        assert service.metric("recsys_workers ") == 2
        assert service.metric("recsys_answers_total") == 20
        after = service.workers()
        service.process.send_signal(signal.SIGTERM)
        rest, _ = service.process.communicate(timeout=PATIENCE_SECONDS)
        assert (service.process.returncode, rest.splitlines()[-1]) == (0, "Stopped.")
        assert not [pid for pid in after if Path(f"/proc/{pid}").exists()]
    words = [line["event"] for line in lines(home) if line["event"] != "request"]
    assert [word for word in words if f"worker {victim} ended with status -9" in word]
    # The settings reached the workers: they asked for keys, and wrote addresses, as only flags had told the parent.
    assert "/v1/recommendations" in {line.get("path") for line in lines(home)}


def test_workers_flip_together_and_one_that_replaces_another_starts_with_what_is_in_service(
    home: Path, tmp_path: Path
) -> None:
    for name, model in (("one", "ease"), ("two", "popularity")):
        write_tiny_bundle(tmp_path / name, model)
    current = tmp_path / "current"
    current.symlink_to("one")
    with Service(home, current, "--poll-seconds", "0.1") as service:

        def versions() -> set[str]:
            lines = service.ask("/metrics").decode().splitlines()
            shown = [line for line in lines if line.startswith("recsys_bundle_info{")]
            return {re.search(r'version="([a-z]+)', line)[1] for line in shown if line.endswith(" 1.0")}  # type: ignore[index]

        assert versions() == {"ease"}
        current.unlink()
        current.symlink_to("two")
        assert service.post("/v1/admin/reload")["generation"] == 2
        wait_until(lambda: versions() == {"popularity"})
        # The link leads back, but the store says what is in service.
        current.unlink()
        current.symlink_to("one")
        os.kill(min(service.workers()), signal.SIGKILL)
        wait_until(lambda: service.metric("recsys_worker_starts_total") == 3)
        assert versions() == {"popularity"}
        assert service.metric("recsys_deployment_generation") == 2
        assert service.post("/v1/admin/rollback")["variants"][0]["model"] == "ease"
        wait_until(lambda: versions() == {"ease"})


@pytest.mark.slow
def test_the_process_of_the_pages_is_replaced_while_the_api_goes_on(home: Path, bundle_path: Path) -> None:
    with Service(home, bundle_path, "--workers", "1", "--ui", "--ui-process") as service:

        def status() -> int:
            try:
                with urlopen(f"{service.url}/ui/login", timeout=PATIENCE_SECONDS) as response:
                    return response.status
            except HTTPError as error:
                with error:
                    return error.code

        assert status() == 200
        [pages] = [pid for pid in service.workers() if os.getpriority(os.PRIO_PROCESS, pid) == NICENESS]
        assert len(service.workers()) == 2
        os.kill(pages, signal.SIGKILL)
        wait_until(lambda: pages not in service.workers())
        assert status() == 503
        assert service.ask("/v1/recommendations", {"history": ["a"], "k": 2})
        wait_until(lambda: status() == 200)
        service.process.send_signal(signal.SIGTERM)
        service.process.communicate(timeout=PATIENCE_SECONDS)
        assert service.process.returncode == 0
    words = [line["event"] for line in lines(home) if line["event"] != "request"]
    assert [word for word in words if f"A process of the pages {pages} ended with status -9" in word]


@pytest.mark.parametrize(
    "all_at_once",
    [pytest.param(False, marks=pytest.mark.slow, id="the-supervisor-is-told"), pytest.param(True, id="all-are-told")],
)
def test_open_requests_end_before_the_workers_do(home: Path, bundle_path: Path, all_at_once: bool) -> None:
    with Service(home, bundle_path) as service:
        body = json.dumps({"history": ["a"], "k": 2}).encode()
        host, port = service.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as slow:
            head = (
                f"POST /v1/recommendations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.key}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            slow.sendall(head.encode() + body[:5])
            time.sleep(0.5)
            service.process.send_signal(signal.SIGTERM)
            if all_at_once:  # as systemd does
                for pid in (*(forks := children(service.process.pid)), *(w for one in forks for w in children(one))):
                    os.kill(pid, signal.SIGTERM)
            time.sleep(0.5)
            assert service.process.poll() is None
            slow.sendall(body[5:])
            assert slow.recv(65536).startswith(b"HTTP/1.1 200 ")
        service.process.communicate(timeout=PATIENCE_SECONDS)
        assert service.process.returncode == 0
        with pytest.raises(URLError):
            service.ask("/health/live")


@pytest.fixture(params=["short", pytest.param("long", marks=pytest.mark.slow)])
def temporary(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of temporary files; where its name is long, workers cannot be forked."""
    with TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name) / ("t" if request.param == "short" else "t" * 80)
        folder.mkdir()
        yield folder


def test_workers_whose_supervisor_is_killed_end_too_and_leave_nothing(
    home: Path, bundle_path: Path, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = temporary
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "of-somebody-else"))
    with Service(home, bundle_path) as service:
        left = service.workers()
        assert len(left) == 2
        assert list(folder.glob("recsys-metrics-*"))
        service.process.kill()
        service.process.wait()
        wait_until(lambda: not [pid for pid in left if Path(f"/proc/{pid}/cmdline").exists() and is_running(pid)])
        assert not list(folder.glob("recsys-metrics-*"))
        assert not (tmp_path / "of-somebody-else").exists()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--workers", "2"), "not a bundle"),
        (("--workers", "2", "--store", "nonsense"), "not a database URL"),
        (("--workers", "2", "--rate-limit", "5/second"), "--rate-limit-store"),
        (("--host", "0.0.0.0"), "recsys keys new"),
        (("--keys-file", "nowhere"), "cannot be read"),
    ],
)
def test_what_cannot_work_is_one_line(home: Path, flags: tuple[str, ...], words: str) -> None:
    check_one_error_line(recsys(home, "serve", str(home), "--port", "0", *flags), words)
