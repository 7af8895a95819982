"""The service beside other ways to serve recommendations, in one run: same catalogue, same histories, k = 20.

- implicit: `implicit` behind a FastAPI endpoint (peers/implicit_service.py), 200 factors
- mlflow: MLflow's own server of the same bundle as a pyfunc model, `mlflow models serve`
- recotem: its server, which folds seed items in, of a factorised model (TruncatedSVD) that it
  has trained on random interactions

Each has one process on the servers' core, and an environment of its own below RECSYS_HOME/bench-service/peers, made
with the first run. A peer whose Python is not there is left out, and named.
"""

import asyncio
import csv
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

from mlflow import pyfunc

from recsys_vae.errors import UnavailableError
from recsys_vae.home import home
from tests.benchmarks.service_processes import SERVER_CORE, Server, serving
from tests.benchmarks.service_runs import CONNECTIONS, Times, highest_rate, load_of
from tests.benchmarks.service_worlds import GOWALLA_ITEMS, HISTORY, K, World, build

FACTORS = 200
FOLDER, ROOT = Path(__file__).parent / "peers", Path(__file__).parents[2]
PYFUNC = str(ROOT / "pipelines" / "artifacts" / "pyfunc_model.py")
START_SECONDS = 120.0
TRAINED_USERS = 4_000
"""Of random interactions for recotem's model; with 30 items each they touch the whole catalogue."""
RECIPE = """
name: bench
source: {type: csv, path: %(folder)s/interactions.csv}
schema: {user_column: user_id, item_column: item_id}
training: {algorithms: [TruncatedSVD], n_trials: 1, cutoff: 20}
output: {path: %(folder)s/artifacts/bench.recotem}
"""
UNSIGNED = ("--dev-allow-unsigned", "--i-understand-this-loads-arbitrary-code")
DEVELOPMENT = {"RECOTEM_ENV": "development"}


@dataclass(frozen=True)
class Asked:
    """A server with the requests that it is sent, over so many connections at most where it shows what it can.

    One that takes request by request gains nothing by more, and the last of many would wait for minutes.
    """

    server: Server
    bodies: list[bytes]
    connections: int = 16


Starts = Callable[[World, Path], Any]


def measure_peers(times: Times) -> dict[str, Any]:
    """Highest rates in turns, then latency at half of them; the service's at half of the best peer's, too."""
    world = build("rec-vae", GOWALLA_ITEMS)
    rates: dict[str, list[float]] = {}
    half: dict[str, dict[str, float]] = {}
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        servers: dict[str, Asked] = {}
        for name, start in PEERS.items():
            try:
                servers[name] = stack.enter_context(start(world, folder))
            except (UnavailableError, subprocess.CalledProcessError) as error:
                left_out[name] = str(error)
                print(f"{name} is left out: {error}", flush=True)
        for turn in range(min(3, times.rounds) + 1):
            for name, asked in servers.items():
                seconds = min(5.0, times.rate) if turn else 2.0
                rate = highest_rate(asked.server, asked.bodies, seconds, asked.connections)
                rates.setdefault(name, []).extend([rate] if turn else [])
        medians = {name: median(some) for name, some in rates.items()}
        best = max((name for name in medians if name != "service"), key=medians.__getitem__, default=None)
        for name, asked in servers.items():
            half[name] = _latency(asked, medians[name] / 2, times)
        at_rate_of_best = None if best is None else _latency(servers["service"], medians[best] / 2, times)
    return {
        "requests_per_second": {name: {"median": medians[name], "rounds": some} for name, some in rates.items()},
        "half_load": half,
        "service_at_half_load_of_best_peer": at_rate_of_best,
        "left_out": left_out,
        "best_peer": best,
        "best_peer_ratio": None if best is None else medians["service"] / medians[best],
    }


def _latency(asked: Asked, rate: float, times: Times) -> dict[str, float]:
    outcome = asyncio.run(load_of(asked.server, asked.bodies).open_loop(rate, min(10.0, times.load)))
    return {"rate": round(rate, 1), **outcome.percentiles()}


@contextmanager
def _own(world: World, _: Path) -> Iterator[Asked]:
    with serving(world.bundle, world.store) as server:
        yield Asked(server, world.bodies(), CONNECTIONS)


@contextmanager
def _implicit(world: World, _: Path) -> Iterator[Asked]:
    python = _environment("implicit-service", sys.executable)
    port = _free_port()
    sized = ("--items", str(GOWALLA_ITEMS), "--factors", str(FACTORS), "--port", str(port))
    with _running((str(python), str(FOLDER / "implicit_service.py"), *sized), port, "/recommend") as server:
        yield Asked(server, world.bodies())


@contextmanager
def _mlflow(world: World, folder: Path) -> Iterator[Asked]:
    model, artifacts, port = folder / "model", {"bundle": str(world.bundle)}, _free_port()
    pyfunc.save_model(model, python_model=PYFUNC, artifacts=artifacts, pip_requirements=[])
    served = ("--model-uri", str(model), "--env-manager", "local", "--port", str(port))
    command = (sys.executable, "-m", "mlflow", "models", "serve", *served, "--workers", "1")
    bodies = [json.dumps({"dataframe_records": [{"history": ids, "k": K}]}).encode() for ids in world.histories]
    with _running(command, port, "/invocations", {"PYTHONPATH": str(ROOT)}) as server:
        yield Asked(server, bodies)


@contextmanager
def _recotem(world: World, folder: Path) -> Iterator[Asked]:
    newer = next((found for name in ("python3.12", "python3.13") if (found := shutil.which(name))), None)
    if newer is None:
        raise UnavailableError("recotem needs python3.12 on the PATH.")
    recotem = _environment("recotem", newer).with_name("recotem")
    place, recipe = folder / "recotem", folder / "recotem" / "recipes" / "bench.yaml"
    recipe.parent.mkdir(parents=True)
    _write_interactions(place / "interactions.csv")
    recipe.write_text(RECIPE % {"folder": place})
    environment = _plain() | DEVELOPMENT
    subprocess.run(
        [str(recotem), "train", str(recipe), "--quiet", *UNSIGNED], check=True, capture_output=True, env=environment
    )
    port = _free_port()
    command = (
        str(recotem),
        "serve",
        "--recipes",
        str(recipe.parent),
        "--port",
        str(port),
        "--insecure-no-auth",
        *UNSIGNED,
    )
    bodies = [json.dumps({"seed_items": ids, "limit": K}).encode() for ids in world.histories]
    with _running(command, port, "/v1/recipes/bench:recommend-related", DEVELOPMENT) as server:
        yield Asked(server, bodies)


PEERS: dict[str, Starts] = {"service": _own, "implicit": _implicit, "mlflow": _mlflow, "recotem": _recotem}


def _environment(name: str, python: str) -> Path:
    """The Python of a peer's environment, made where it has not been before from its pinned requirements."""
    place = home() / "bench-service" / "peers" / name
    made = place / "bin" / "python"
    if not (place / ".installed").is_file():
        print(f"installing {name} into {place} ...", flush=True)
        subprocess.run([python, "-m", "venv", str(place)], check=True, capture_output=True)
        wanted = ("-r", str(FOLDER / f"requirements-{name}.txt"))
        command = [str(made), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
        subprocess.run(command, check=True, capture_output=True)
        (place / ".installed").touch()
    return made


def _write_interactions(path: Path) -> None:
    """Random ones; every item has some."""
    draw = random.Random(0)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("user_id", "item_id"))
        rows.writerows((item % TRAINED_USERS, item) for item in range(GOWALLA_ITEMS))
        rows.writerows((user, draw.randrange(GOWALLA_ITEMS)) for user in range(TRAINED_USERS) for _ in range(HISTORY))


def _plain() -> dict[str, str]:
    """The environment without what is meant for this project's processes."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"  # MLflow looks for uvicorn there
    return kept | {"PATH": programs, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def _running(
    command: tuple[str, ...], port: int, path: str, settings: dict[str, str] | None = None
) -> Iterator[Server]:
    """A server on the servers' core, once it takes connections; it ends with all that it has begun.

    Raises:
        UnavailableError: it does not start.
    """
    with NamedTemporaryFile("w+") as told:
        process = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), *command], env=_plain() | (settings or {}), process_group=0,
            stdout=told, stderr=told,
        )  # fmt: skip
        try:
            limit = time.monotonic() + START_SECONDS
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > limit:
                    said = Path(told.name).read_text()[-500:]
                    raise UnavailableError(f"`{' '.join(command)}` does not start: {said}")
                time.sleep(0.2)
            yield Server(f"http://127.0.0.1:{port}", process.pid, path)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
