"""Processes of the service's benchmark: servers on one core, everything else on another; wrk."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from recsys_vae.errors import ConfigError, UnavailableError

SERVER_CORE, GENERATOR_CORE = 0, 1
ADDRESS = re.compile(r"http://[\d.]+:\d+")
SCRIPT = """
local bodies = {{{bodies}}}
local requests, turn = {{}}, 0
function init(_)
  for i, body in ipairs(bodies) do
    requests[i] = wrk.format("POST", "{path}", {{["Content-Type"] = "application/json"}}, body)
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
function done(summary, _, _)
  local e = summary.errors
  io.write(string.format('\\n{{"answers": %d, "seconds": %f, "failed": %d}}\\n', summary.requests,
    summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: where it answers.
        pid: of its process.
        path: that requests for recommendations go to.
    """

    url: str
    pid: int
    path: str = "/v1/recommendations"

    @property
    def host(self) -> str:
        """Of the URL."""
        return str(urlsplit(self.url).hostname)

    @property
    def port(self) -> int:
        """Of the URL."""
        return int(urlsplit(self.url).port or 80)

    def cpu_seconds(self) -> float:
        """What it and its workers have computed so far: unlike the clock, untouched by what else runs on its core."""
        return sum(map(_cpu_seconds, _family(self.pid)))

    def memory_mib(self) -> float:
        """What it holds now."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def _family(pid: int) -> list[int]:
    """A process and all that it has begun."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def take_other_core() -> None:
    """Keep this process, and what it starts, off the servers' core.

    Raises:
        ConfigError: there are not two cores to measure on.
    """
    if {SERVER_CORE, GENERATOR_CORE} - os.sched_getaffinity(0):
        raise ConfigError(f"The benchmark needs cores {SERVER_CORE} and {GENERATOR_CORE}: one serves, one asks.")
    os.sched_setaffinity(0, {GENERATOR_CORE})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection is a file, here and at the server


@contextmanager
def serving(bundle: Path, store: str, *, cores: Sequence[int] = (SERVER_CORE,), **settings: object) -> Iterator[Server]:
    """`recsys serve`, with one worker where the settings, which go into its environment, do not say otherwise."""
    chosen = {f"RECSYS_{name.upper()}": str(value) for name, value in settings.items()}
    command = ("pipelines.cli", "serve", str(bundle), "--port", "0", "--store", store)
    with _pinned(command, chosen, cores) as server:
        yield server


@contextmanager
def serving_bare(content: object) -> Iterator[Server]:
    """The bare endpoint, which answers every request with the same JSON."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "content.json"
        path.write_text(json.dumps(content))
        with _pinned(("tests.benchmarks.service_bare", str(path)), {}) as server:
            yield server


@contextmanager
def _pinned(
    command: Sequence[str], settings: dict[str, str], cores: Sequence[int] = (SERVER_CORE,)
) -> Iterator[Server]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RECSYS_") or "HOME" in name}
    with subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, cores)), sys.executable, "-m", *command],
        stdout=subprocess.PIPE, text=True, env=plain | settings | {"OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            found = ADDRESS.search(process.stdout.readline())
            if not found:
                raise UnavailableError(f"`{' '.join(command)}` does not start; it says why above.")
            yield Server(found.group(), process.pid)
        finally:
            process.terminate()


def generator() -> str:
    """What looks for the highest rate on this machine."""
    return "wrk" if shutil.which("wrk") else "closed loop"


def wrk(server: Server, bodies: Sequence[bytes], *, connections: int, seconds: float) -> float:
    """Most requests a second that the server answers, asked over kept connections as fast as it answers.

    Raises:
        UnavailableError: a request failed.
    """
    quoted = ", ".join(f"[==[{body.decode()}]==]" for body in bodies)
    with TemporaryDirectory() as folder:
        script = Path(folder) / "requests.lua"
        script.write_text(SCRIPT.format(bodies=quoted, path=server.path))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(script), server.url]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    counted = json.loads(told.splitlines()[-1])
    if counted["failed"] or not counted["answers"]:
        raise UnavailableError(f"wrk: {counted['failed']} of {counted['answers']} requests failed at {server.url}.")
    return float(counted["answers"] / counted["seconds"])


def over_the_wire(server: Server, body: bytes) -> bytes:
    """One request for recommendations as it is sent over a kept connection."""
    head = (
        f"POST {server.path} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
