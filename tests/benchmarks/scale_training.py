"""Training by 1, 2 and 4 workers: the same bundle, hash for hash, and what that costs: `make bench-scale`.

- cost: Mult-VAE on MovieLens 1M (batches of 500, then 2,000) and Gowalla (512), by 1, 2 and 4 processes of one thread
  each, and with the sampled likelihood, 128-64-128 wide, on a made-up log of a million items, by 1 and 2, as each takes
  3 GiB: runs in leaves and runs as without them take turns in the same processes. Compared are medians over the
  rounds, the first of which is not counted, of the processor time of all processes, and of the time that went by.
  Without leaves the processes draw other noise and add up in another order; with them they do not.
- bundles: `recsys train` on MovieLens 1M by 1, 2 and 4 processes; by two of which one is killed, with four that go on
  from the checkpoint; and, with --ray, by Ray's workers of which the last is killed again and again (--kills).

Each run is one JSON file under results/scale-training; what is there is printed, not measured again (--fresh does).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.training.fit import ModelSpec
from pipelines.training.train import Output, train_bundle
from recsys_vae.bundles.manifest import read_manifest
from recsys_vae.models.catalog import configure
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.leaves import LEAVES
from recsys_vae.training.loop import train
from recsys_vae.training.parallel import join
from recsys_vae.training.tracking import NoTracker
from tests.benchmarks.quickstart import gowalla, ml_1m
from tests.benchmarks.records import existing, record
from tests.benchmarks.scaling import made_up_log
from tests.pipelines.training.dying_workers import dying

BENCHMARK = "scale-training"
WORKERS = (1, 2, 4)
ROUNDS = 5
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
EPOCHS = 2


class World(NamedTuple):
    """What is trained on, and how."""

    data: str
    batch: int
    users: int
    model: MultVAEConfig = MultVAEConfig()
    likelihood: str = "auto"
    workers: tuple[int, ...] = WORKERS


WORLDS = {
    "ml-1m": World("ml-1m", 500, 2000),
    "ml-1m, batches of 2,000": World("ml-1m", 2000, 4000),
    "gowalla": World("gowalla", 512, 1024),
    "1m items, sampled": World(
        "made up", 512, 6144, MultVAEConfig(hidden=128, latent=64), likelihood="sampled", workers=(1, 2)
    ),
}


class Clock(NoTracker):
    """Processor time of this process, and the time, after each epoch."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def log_metrics(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Look at both."""
        self.times.append((time.process_time(), time.perf_counter()))


def interactions(name: str, users: int) -> csr_array:
    """What is trained on."""
    if name == "made up":
        return made_up_log(10**6)[:users]
    return (gowalla().training_part if name == "gowalla" else ml_1m().train).matrix[:users]


def turns(world: str, output: Path) -> None:
    """Train with leaves and without in turns, as one of the processes that torchrun has started."""
    of = WORLDS[world]
    matrix = interactions(of.data, of.users)
    training = TrainingConfig(epochs=EPOCHS, batch_size=of.batch, patience=0, device="cpu", likelihood=of.likelihood)
    spent: dict[int, list[list[float]]] = {0: [], LEAVES: []}
    with join() as group:
        for _ in range(ROUNDS):
            for leaves, rounds in spent.items():
                torch.manual_seed(0)
                model = MultVAE(matrix.shape[1], of.model)
                begun, clock = time.process_time(), Clock()
                train(
                    model,
                    matrix,
                    replace(training, leaves=leaves),
                    group=group,
                    tracker=clock,
                )
                wall = clock.times[-1][1] - clock.times[0][1] if group.is_first else 0.0
                rounds.append(group.add([time.process_time() - begun, wall]))
        if group.is_first:
            output.write_text(json.dumps([spent[0][1:], spent[LEAVES][1:]]))


def cost(world: str, workers: int) -> dict[str, Any]:
    """Medians of processor seconds and seconds of a turn, without leaves and with them, and what these cost more."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "spent.json"
        torchrun(workers, "tests.benchmarks.scale_training", "--worker", world, str(output), check=True)
        plain, leaves = json.loads(output.read_text())
    found = {
        kind: [median(spent[place] for spent in rounds) for rounds in (plain, leaves)]
        for place, kind in enumerate(("processor", "time"))
    }
    paired = {
        f"{kind}_cost": median(b[place] / a[place] for a, b in zip(plain, leaves, strict=True)) - 1
        for place, kind in enumerate(("processor", "time"))
    }
    return found | paired | {"users": EPOCHS * WORLDS[world].users, "rounds": [plain, leaves]}


def torchrun(workers: int, module: str, *arguments: str, check: bool) -> "subprocess.Popen[bytes]":
    """Start processes of one thread each; waits for them where they are to succeed."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers), "-m"]
    environment = os.environ | dict.fromkeys(THREADS, "1")
    started = subprocess.Popen([*command, module, *arguments], env=environment, start_new_session=True)
    if check and started.wait():
        raise SystemExit(f"{workers} processes did not succeed")
    return started


def bundle(output: Path, workers: int, *, resume: bool = False) -> dict[str, str]:
    """Hashes of the files of a bundle that processes write together."""
    arguments = ["train", dataset().name, "--to", str(output), "--model", "mult-vae", "--leaves", str(LEAVES)]
    arguments += ["--epochs", str(EPOCHS), "--device", "cpu", "--checkpoint-seconds", "0"]
    torchrun(workers, "pipelines.cli", *arguments, *(["--resume"] if resume else []), check=True)
    return dict(read_manifest(output).files)


def dataset() -> DatasetDir:
    """MovieLens 1M, ingested and split."""
    ml_1m()
    return DatasetDir.at("bench-ml-1m")


def killed(output: Path) -> dict[str, str]:
    """The same of two processes, of which one is killed once there is a checkpoint, and four that go on from it."""
    checkpoint = Output(output).checkpoints[0]
    arguments = ["train", dataset().name, "--to", str(output), "--model", "mult-vae", "--leaves", str(LEAVES)]
    arguments += ["--epochs", str(EPOCHS), "--device", "cpu", "--checkpoint-seconds", "0"]
    started = torchrun(2, "pipelines.cli", *arguments, check=False)
    while not checkpoint.exists():
        if started.poll() is not None:
            raise SystemExit("the processes ended before there was a checkpoint")
        time.sleep(0.05)
    last = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()[-1]
    os.kill(int(last), signal.SIGKILL)
    if not started.wait():
        raise SystemExit("a process was killed, and the others succeeded")
    return bundle(output, 4, resume=True)


def by_ray(output: Path, kills: int) -> dict[str, str]:
    """The same of two workers of Ray, of which the last is killed so often."""
    from pipelines.cluster.connection import connected
    from pipelines.training.on_cluster import Workers, train_there

    training = TrainingConfig(epochs=EPOCHS, device="cpu", checkpoint_seconds=0.0, leaves=LEAVES)
    spec, notes = ModelSpec("mult-vae", configure("mult-vae", {}), training), output.parent / "kills"
    notes.mkdir()
    with connected("local", output.parent):
        part = partial(dying, notes, kills, dataset(), "strong", spec, Output(output), resume=True)
        train_there(Workers(2, 1, gpu=False), part, Output(output).workspace)
    if len(list(notes.iterdir())) != kills:
        raise SystemExit("fewer workers were killed than asked for")
    train_bundle(dataset(), "strong", spec, Output(output), resume=True, told_afterwards=True)
    return dict(read_manifest(output).files)


def bundles(kills: int | None) -> dict[str, Any]:
    """Whether all bundles have the same files, and of which runs."""
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for workers in WORKERS:
            found[f"{workers} processes"] = bundle(Path(folder) / str(workers), workers)
        found["2 processes, one killed, 4 go on"] = killed(Path(folder) / "killed")
        if kills is not None:
            found[f"2 workers of Ray, {kills} kills"] = by_ray(Path(folder) / "ray" / "bundle", kills)
    first = found["1 processes"]
    return {"equal": {name: files == first for name, files in found.items()}, "files": first}


def show(costs: Mapping[str, dict[str, Any] | None], made: dict[str, Any] | None) -> None:
    """Print a table of all runs."""
    table = Table("", "workers", "processor time", "time")
    for name, entry in costs.items():
        world, _, workers = name.rpartition(" by ")
        told = ("not measured", "") if entry is None else tuple(
            f"{entry['figures'][f'{kind}_cost']:+.1%}" for kind in ("processor", "time")
        )  # fmt: skip
        table.add_row(world, workers, *told)
    Console(width=100).print(table)
    for name, equal in (made["figures"]["equal"] if made else {}).items():
        print(f"{name}: {'the same files' if equal else 'OTHER FILES'}")


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--only", help="costs whose names have this in them; no bundles")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    parser.add_argument("--ray", action="store_true", help="with workers of Ray among the bundles")
    parser.add_argument("--kills", type=int, default=20, help="of Ray's workers")
    parser.add_argument("--worker", nargs=2, metavar=("WORLD", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        turns(arguments.worker[0], Path(arguments.worker[1]))
        return
    names = {f"{world} by {workers}": (world, workers) for world, of in WORLDS.items() for workers in of.workers}
    if not arguments.print:
        for name, (world, workers) in names.items():
            if arguments.only and arguments.only not in name:
                continue
            record(BENCHMARK, _file(name), partial(cost, world, workers), fresh=arguments.fresh)
        kills = arguments.kills if arguments.ray else None
        if not arguments.only:
            record(BENCHMARK, "bundles", partial(bundles, kills), fresh=arguments.fresh)
    costs = {name: existing(BENCHMARK, _file(name)) for name in names}
    made = existing(BENCHMARK, "bundles")
    show(costs, made)
    told = {name: round(entry["figures"]["processor_cost"], 3) for name, entry in costs.items() if entry}
    equal = all(made["figures"]["equal"].values()) if made else None
    print(json.dumps({"hash_equal_workers": equal, "leaves_cost": told}))


def _file(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")


if __name__ == "__main__":
    main()
