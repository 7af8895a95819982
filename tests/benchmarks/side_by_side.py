"""This checkout beside another one, through the command line: `python -m tests.benchmarks.side_by_side OTHER`.

Both take turns at each job, the other first, and the figure is the processor time of the whole process and its
children; a ratio below 1 says that this checkout takes less. One round is not counted. Data are made up, so that
nothing is needed but the two checkouts and an environment that has the dependencies of both. Jobs: ingest and split
of a log of a million rows, a training of Mult-VAE over 41,000 items, lists for all users, and the service under
requests one after the other. The last line is JSON: medians of the ratios, and by how much metrics of the same
training differ.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from urllib.request import Request, urlopen

import numpy as np
import polars as pl

HERE = Path(__file__).parents[2]
N_USERS, N_ITEMS, ROWS = 20_000, 41_000, 1_000_000
REQUESTS = 1_500
TRAIN = ("--split", "strong", "--model", "mult-vae", "--epochs", "1", "--patience", "0")


def main() -> None:
    """Measure, print, and end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--rounds", type=int, default=4)
    asked = parser.parse_args()
    sides = {"other": asked.other.resolve(), "here": HERE}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_log(folder / "log.csv")
        found = {job: turns(work, sides, folder, asked.rounds) for job, work in JOBS.items()}
        shift = max(abs(a - b) for a, b in zip(*(metrics(folder / side) for side in sides), strict=True))
    ratios = {job: round(median(h / o for o, h in pairs), 3) for job, pairs in found.items()}
    for job, pairs in found.items():
        print(f"{job:<10} {ratios[job]:.3f}   other/here in s: " + "  ".join(f"{o:.2f}/{h:.2f}" for o, h in pairs))
    print(json.dumps(ratios | {"largest_difference_of_metrics": shift}))


def turns(
    work: Callable[[Path, Path], float], sides: dict[str, Path], folder: Path, rounds: int
) -> list[tuple[float, float]]:
    """Processor seconds of both, round by round."""
    pairs = []
    for _ in range(rounds + 1):
        seconds = [work(checkout, folder / side) for side, checkout in sides.items()]
        pairs.append((seconds[0], seconds[1]))
    return pairs[1:]


def write_log(path: Path) -> None:
    """A log whose users have tastes, and whose items are popular unequally."""
    rng = np.random.default_rng(0)
    users = rng.integers(N_USERS, size=ROWS)
    items = (rng.zipf(1.3, size=ROWS) * 37 + users % 50 * (N_ITEMS // 50)) % N_ITEMS
    every = {"user_id": np.append(users, np.arange(N_ITEMS) % N_USERS), "item_id": np.append(items, np.arange(N_ITEMS))}
    pl.DataFrame(every).write_csv(path)


def run(checkout: Path, home: Path, *arguments: str) -> float:
    """Processor seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pipelines.cli", *arguments]
    done = subprocess.run(
        command, cwd=home, env=environment(checkout, home), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def environment(checkout: Path, home: Path) -> dict[str, str]:
    """What a command of this checkout is run in: one thread, a home of its own."""
    return os.environ | {"PYTHONPATH": str(checkout), "RECSYS_HOME": str(home / "home"), "OMP_NUM_THREADS": "1"}


def ingest(checkout: Path, home: Path) -> float:
    """From CSV to clean tables, and a split."""
    shutil.rmtree(home / "home" / "datasets", ignore_errors=True)
    seconds = run(checkout, home, "ingest", str(home.parent / "log.csv"), "--min-user", "5", "--to", "made-up")
    return seconds + run(checkout, home, "split", "made-up", "--protocol", "strong")


def train(checkout: Path, home: Path) -> float:
    """An epoch, its validation, the tiers, the bundle."""
    shutil.rmtree(home / "bundle", ignore_errors=True)
    return run(checkout, home, "train", "made-up", "--to", "bundle", *TRAIN)


def recommend(checkout: Path, home: Path) -> float:
    """100 items for every user."""
    (home / "lists.parquet").unlink(missing_ok=True)
    return run(checkout, home, "recommend", "bundle", "made-up", "--k", "100", "--to", "lists.parquet")


def serve(checkout: Path, home: Path) -> float:
    """Requests with a history of twenty items, after a hundred that are not counted; seconds of the server alone."""
    command = [sys.executable, "-m", "pipelines.cli", "serve", "bundle", "--port", "0"]
    with subprocess.Popen(
        command, cwd=home, env=environment(checkout, home), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        address = next(line for line in server.stdout if " at http://" in line).rsplit(" at ", 1)[1].strip()
        ask(address, 100)
        before = seconds_of(server.pid)
        ask(address, REQUESTS)
        seconds = seconds_of(server.pid) - before
        server.send_signal(signal.SIGTERM)
        server.stdout.read()
    return seconds


def ask(address: str, times: int) -> None:
    """Requests, one after the other."""
    rng = np.random.default_rng(0)
    for _ in range(times):
        body = json.dumps({"history": [str(item) for item in rng.integers(N_ITEMS, size=20)], "k": 20}).encode()
        request = Request(f"{address}/v1/recommendations", body, {"Content-Type": "application/json"})
        for attempt in range(50):
            try:
                with urlopen(request) as answer:
                    answer.read()
                break
            except OSError:
                if attempt == 49:
                    raise
                time.sleep(0.2)


def seconds_of(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def metrics(home: Path) -> list[float]:
    """Of the model alone, as `recsys train` found them on validation while training."""
    manifest = json.loads((home / "bundle" / "manifest.json").read_text())
    found = manifest["provenance"]["metrics"]
    return [found[name] for name in sorted(found)]


JOBS = {"ingest": ingest, "train": train, "recommend": recommend, "serve": serve}

if __name__ == "__main__":
    main()
