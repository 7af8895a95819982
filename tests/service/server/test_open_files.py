import asyncio
import errno
import logging
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys_vae.errors import ConfigError
from service.server import open_files
from service.server.open_files import RESERVED, Listener, resting, tell_in_a_line, with_room
from service.settings import Settings
from tests.service.test_serve import environment, home  # noqa: F401


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """The limit of open files, as a process would have it."""
    found = {"soft": 1024, "hard": 4096}

    def raise_to(_: int, wanted: tuple[int, int]) -> None:
        assert wanted[1] == found["hard"]
        assert wanted[0] <= found["hard"] or found["hard"] == resource.RLIM_INFINITY
        found["soft"] = wanted[0]

    monkeypatch.setattr(resource, "getrlimit", lambda _: (found["soft"], found["hard"]))
    monkeypatch.setattr(resource, "setrlimit", raise_to)
    return found


def test_the_limit_is_raised_as_far_as_it_may_and_the_rest_is_what_connections_get(limits: dict[str, int]) -> None:
    assert with_room(Settings()).max_connections == 4096 - RESERVED
    assert limits["soft"] == 4096
    limits.update(soft=1024, hard=resource.RLIM_INFINITY)
    assert with_room(Settings()).max_connections == 10_000
    assert limits["soft"] == 10_000 + RESERVED
    limits.update(soft=1024, hard=4096)
    assert with_room(Settings(max_connections=500)).max_connections == 500
    assert limits["soft"] == 1024


def test_a_limit_that_leaves_no_room_is_told_at_the_start(
    limits: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    limits.update(soft=110, hard=110)
    with pytest.raises(ConfigError, match=r"may open 110 files here, and 16 connections need 116. Raise .*ulimit -n"):
        with_room(Settings())
    limits.update(soft=200, hard=200)
    with pytest.raises(ConfigError, match=r"500 connections need 600. .* or lower --max-connections"):
        with_room(Settings(max_connections=500))
    caplog.set_level(logging.WARNING, "recsys.service")
    assert with_room(Settings()).max_connections == 100
    assert "it keeps 100 connections at most" in caplog.text


def test_without_descriptors_it_is_tried_once_a_second_and_a_line_is_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries, clock = [], [100.0]

    def accept(_: socket.socket) -> None:
        tries.append(clock[0])
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket.socket, "accept", accept)
    monkeypatch.setattr(open_files, "monotonic", lambda: clock[0])
    with Listener() as listener:
        for moment in (100.0, 100.1, 100.89, 101.0, 101.1):
            clock[0] = moment
            rests = moment not in (100.0, 101.0)
            with pytest.raises(BlockingIOError if rests else OSError, match="^$" if rests else "Too many open files"):
                listener.accept()
    assert tries == [100.0, 101.0]

    async def fail() -> None:
        error = OSError(errno.EMFILE, "Too many open files")
        context = {"message": "socket.accept() out of system resource", "exception": error}
        tell_in_a_line(asyncio.get_running_loop(), context)

    asyncio.run(fail())
    lines = [record for record in caplog.records if record.name == "recsys.service"]
    assert [(line.getMessage(), line.exc_info) for line in lines] == [
        ("Connections wait to be accepted, for a second at least: Too many open files.", None)
    ]


def test_a_listening_socket_goes_on_listening_as_one_that_rests() -> None:
    with resting(socket.create_server(("127.0.0.1", 0))) as listener, socket.create_connection(listener.getsockname()):
        listener.accept()[0].close()


@pytest.mark.slow
def test_with_few_files_and_many_idle_connections_the_log_stays_short_and_others_are_answered(
    home: Path,  # noqa: F811
    bundle_path: Path,
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    command = f"ulimit -n 200; exec {sys.executable} -m pipelines.cli serve {bundle_path} --port 0"
    with log.open("w") as stderr, subprocess.Popen(
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment(home)
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(":")[2])
            idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
            for _ in range(5):
                with socket.create_connection(("127.0.0.1", port), timeout=10) as asking:
                    asking.sendall(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    assert b" 200 OK" in asking.recv(100)
                time.sleep(0.5)
            for connection in idle:
                connection.close()
        finally:
            process.kill()
    assert len(log.read_text()) < 20_000
