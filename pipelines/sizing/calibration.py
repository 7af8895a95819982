"""Calibration: what units of work and idle processes cost on this machine, measured once and kept.

A tiny simulated log is ingested at two sizes, a model trained on it and served, each by the verb itself in a process of
its own; products, factorisations and copies of memory are timed. It takes about a minute of processor time.
"""

import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import polars as pl
import torch

from recsys_vae import __version__
from recsys_vae.atomic import write_atomically
from recsys_vae.errors import RecsysError, UnavailableError
from recsys_vae.home import home
from recsys_vae.settings import from_plain

FILE: Final = "calibration.json"
SIDE, COPIED = 1024, 1 << 27
SMALL_LOG, LARGE_LOG, INGESTS = 10_000, 1_000_000, 3
"""Rows."""
NARROW: Final = ("--set", "epochs=1", "--set", "hidden=16", "--set", "latent=4")
WEIGHTS: Final = [option for kind in ("view", "cart", "purchase") for option in ("--event-weight", f"{kind}=1")]
RUN: Final = """
import atexit, resource, sys
from pipelines.start import main

def tell():
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("", used.ru_utime + used.ru_stime, 1024 * int(peak), sep="\\n")

atexit.register(tell)
main()
"""
"""Tells at the very end: an ingest ends its process by itself, after what is to happen at an exit."""
ADDRESS: Final = re.compile(r"http://[\d.]+:\d+")
START_SECONDS: Final = 600.0
"""Most that a service is waited for: the machine may be busy."""


class CalibrationError(RecsysError):
    """This machine cannot be measured."""


@dataclass(frozen=True)
class Calibration:
    """Unit costs of a machine; seconds are of the processor.

    Attributes:
        machine: what it was measured on; another is measured anew.
        flops: multiplications and additions a second, of a float32 product.
        solve_flops: the same of a float64 Cholesky inverse.
        bandwidth: bytes copied a second.
        ingest_seconds: of an ingest of nothing to speak of.
        ingest_row_seconds: of each row beside.
        ingest_bytes, train_bytes, gradient_bytes, serve_bytes: held by processes that have next to no data; those that
            train by gradient hold what torch loads for it.
    """

    machine: str
    flops: float
    solve_flops: float
    bandwidth: float
    ingest_seconds: float
    ingest_row_seconds: float
    ingest_bytes: float
    train_bytes: float
    gradient_bytes: float
    serve_bytes: float


def calibrated(*, afresh: bool = False, say: Callable[[str], object] = lambda _: None) -> Calibration:
    """Unit costs of this machine: as they were measured before, or measured now.

    Args:
        afresh: measure again.
        say: is told what is measured.

    Raises:
        CalibrationError: a verb fails on a log of its own.
    """
    path = home() / FILE
    if not afresh:
        try:
            kept = from_plain(Calibration, json.loads(path.read_bytes()), "a calibration")
            if kept.machine == _machine():
                return kept
        except (OSError, ValueError, RecsysError):
            pass
    say("measuring this machine, once: about a minute")
    found = measure()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(asdict(found), indent=1) + "\n")
    return found


def measure() -> Calibration:
    """Measure this machine."""
    with TemporaryDirectory(prefix="recsys-size-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        small, large = (_ingested(place, rows) for rows in (SMALL_LOG, LARGE_LOG))
        rate = max(1e-9, (large[0] - small[0]) / (LARGE_LOG - SMALL_LOG))
        log = f"log-{SMALL_LOG}"
        run_verb(place, "split", log, "--protocol", "strong")
        to = ("--to", str(place / "bundle"))
        _, by_gradient = run_verb(place, "train", log, "--model", "mult-vae", *NARROW, *to)
        _, solved = run_verb(place, "train", log, "--model", "popularity", *to, "--overwrite")
        return Calibration(
            machine=_machine(),
            flops=2 * SIDE**3 / _seconds(_product()),
            solve_flops=SIDE**3 / _seconds(_inverse()),
            bandwidth=COPIED / _seconds(_copy()),
            ingest_seconds=max(0.0, small[0] - SMALL_LOG * rate),
            ingest_row_seconds=rate,
            ingest_bytes=small[1],
            train_bytes=solved,
            gradient_bytes=by_gradient,
            serve_bytes=resident_serving(place / "bundle", place),
        )


def resident_serving(bundle: Path, state: Path) -> float:
    """Bytes that a service of one worker holds when it has answered a few requests.

    Args:
        state: RECSYS_HOME of it.

    Raises:
        CalibrationError: it does not start.
    """
    import urllib.request

    command = [sys.executable, "-c", "from pipelines.start import main; main()", "serve", str(bundle), "--port", "0"]
    with (state / "serve.log").open("wb") as log:
        process = subprocess.Popen([*command], stdout=log, stderr=subprocess.STDOUT, env=_environment(state))
    try:
        address, until = "", time.monotonic() + START_SECONDS
        while time.monotonic() < until and process.poll() is None:
            if found := ADDRESS.search((state / "serve.log").read_text(errors="replace")):
                address = found[0]
                break
            time.sleep(0.1)
        if not address:
            raise CalibrationError(f"The service does not start: {(state / 'serve.log').read_text()[-300:]}")
        for number in range(8):
            body = json.dumps({"history": [], "k": 10 + number}).encode()
            asked = urllib.request.Request(f"{address}/v1/recommendations", body, {"Content-Type": "application/json"})
            try:
                urllib.request.urlopen(asked, timeout=60).read()
            except OSError as error:
                raise UnavailableError(f"{address} does not answer: {error}") from error
        return 1024.0 * _status(process.pid, "VmRSS")
    finally:
        process.terminate()
        process.wait()


def _ingested(place: Path, rows: int) -> tuple[float, float]:
    """Seconds and bytes of the ingest of a simulated log: of several, as other work makes them longer."""
    log = place / f"log-{rows}.d"
    size = ("--users", str(max(100, rows // 50)), "--items", str(max(100, rows // 200)), "--events", str(rows))
    run_verb(place, "simulate", str(log), *size)
    ingest = ("ingest", str(log / "events"), "--to", f"log-{rows}", "--overwrite", *WEIGHTS)
    seconds, peaks = zip(*(run_verb(place, *ingest) for _ in range(INGESTS)), strict=True)
    return min(seconds), max(peaks)


def run_verb(state: Path, *arguments: str) -> tuple[float, float]:
    """Seconds of the processor and peak bytes of a verb in a process of its own, by its own account.

    Args:
        state: RECSYS_HOME of it.

    Raises:
        CalibrationError: it fails.
    """
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=False, env=_environment(state)
    )
    if done.returncode:
        raise CalibrationError(f"recsys {arguments[0]} fails on a log of its own: {done.stderr[-500:]}")
    seconds, peak = done.stdout.split()[-2:]
    return float(seconds), float(peak)


def _environment(state: Path) -> dict[str, str]:
    environment = os.environ | {"RECSYS_HOME": str(state)}
    for name in ("MLFLOW_TRACKING_URI", "_RJEM_MALLOC_CONF"):
        environment.pop(name, None)
    return environment


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def _seconds(work: Callable[[], object]) -> float:
    """Of the processor; the least of three, after one that does not count."""
    found = []
    for _ in range(4):
        before = _used()
        work()
        found.append(_used() - before)
    return max(min(found[1:]), 1e-6)


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _product() -> Callable[[], object]:
    square = torch.ones(SIDE, SIDE)
    return lambda: square @ square


def _inverse() -> Callable[[], object]:
    square = torch.eye(SIDE, dtype=torch.float64) + 0.5 / SIDE
    return lambda: torch.cholesky_inverse(torch.linalg.cholesky(square))


def _copy() -> Callable[[], object]:
    array = np.ones(COPIED, dtype=np.uint8)
    return array.copy


def _machine() -> str:
    names = (platform.machine(), str(os.cpu_count()), platform.python_version(), torch.__version__, pl.__version__)
    return " ".join((*names, __version__, torch.backends.cpu.get_cpu_capability(), str(torch.get_num_threads())))
