"""Two processes against one, on MovieLens 1M: the same metrics, and at what speed.

    python -m tests.benchmarks.data_parallel

Each seed trains a Mult-VAE for a few epochs three times, one after the other: in one process with a thread a core, in
one process a core with one thread each, and in one process with one thread. Global batch, epochs and seed are the
same; the processes draw other noise. Metrics are compared on the validation users by their means over the seeds, speed
by the median over the seeds of the ratio within a seed. One record a seed lies under results/parallel; what is there is
printed, not measured again (--fresh does).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from pipelines.training.fit import ModelSpec, fit
from recsys_vae.models.catalog import configure
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.parallel import join
from tests.benchmarks.quickstart import ml_1m
from tests.benchmarks.records import existing, record

BENCHMARK = "parallel"
SEEDS = (0, 1, 2, 3, 4)
CORES = os.cpu_count() or 1
TRAINING = TrainingConfig(epochs=40, batch_size=250, patience=0, device="cpu")
METRIC = TRAINING.validation_metric
WAYS = {"one process": (1, CORES), "a process a core": (CORES, 1), "one process, one thread": (1, 1)}
"""Processes, and threads of each."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Where libraries look for their number of threads; more of them than cores wait for each other many times as long."""


def worker(seed: int, output: Path) -> None:
    """Train as one of the processes that torchrun has started; the first one writes down how it went."""
    split = ml_1m()
    spec = ModelSpec("mult-vae", configure("mult-vae", {}), replace(TRAINING, seed=seed))
    with join() as group:
        fitted = fit(spec, split.train.matrix, validation=split.validation, group=group)
        if group.is_first:
            later = [epoch["users_per_second"] for epoch in fitted.history[1:]]
            found = {METRIC: fitted.history[-1][METRIC], "users_per_second": median(later), "seconds": fitted.seconds}
            output.write_text(json.dumps(found))


def run(seed: int, processes: int, threads: int) -> dict[str, float]:
    """One training: validation metric after the last epoch, users a second in the median epoch, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "figures.json"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command += ["-m", "tests.benchmarks.data_parallel", "--worker", str(seed), str(output)]
        subprocess.run(command, env=os.environ | dict.fromkeys(THREADS, str(threads)), check=True)
        return dict(json.loads(output.read_text()))


def measure(seed: int) -> dict[str, Any]:
    """All ways of one seed, side by side."""
    return {way: run(seed, processes, threads) for way, (processes, threads) in WAYS.items()}


def summary() -> dict[str, Any]:
    """Means with standard errors over seeds by way, and ratios to one process; None where a seed is missing."""
    records = [existing(BENCHMARK, f"ml1m-seed{seed}") for seed in SEEDS]
    if not all(records):
        return dict.fromkeys(WAYS)
    found = [entry["figures"] for entry in records if entry]
    first = next(iter(WAYS))
    told: dict[str, Any] = {}
    for way in WAYS:
        values = np.array([seed[way][METRIC] for seed in found])
        paired = values - np.array([seed[first][METRIC] for seed in found])
        told[way] = {
            METRIC: [float(values.mean()), _error(values)],
            "difference": [float(paired.mean()), _error(paired)],
            "users_per_second": mean(seed[way]["users_per_second"] for seed in found),
            "speed_ratio": median(seed[way]["users_per_second"] / seed[first]["users_per_second"] for seed in found),
        }
    return told


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def show() -> None:
    """Print a table of all ways."""
    table = Table("", "processes x threads", f"validation {METRIC}", "minus one process", "users/s", "speed ratio")
    for way, figures in summary().items():
        if figures is None:
            table.add_row(way, "not measured")
            continue
        value, difference = (f"{mean:.4f} ± {error:.4f}" for mean, error in (figures[METRIC], figures["difference"]))
        sizes = " x ".join(map(str, WAYS[way]))
        speed = (f"{figures['users_per_second']:.0f}", f"{figures['speed_ratio']:.2f}")
        table.add_row(way, sizes, value, difference, *speed)
    Console(width=140).print(table)


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    parser.add_argument("--worker", nargs=2, metavar=("SEED", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(int(arguments.worker[0]), Path(arguments.worker[1]))
        return
    ml_1m()  # made once, before several processes look for it
    for seed in () if arguments.print else SEEDS:
        record(BENCHMARK, f"ml1m-seed{seed}", lambda seed=seed: measure(seed), fresh=arguments.fresh)
    show()
    print(json.dumps(summary()))


if __name__ == "__main__":
    main()
