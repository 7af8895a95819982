"""Item tables shared out among workers: users a second, memory of each, and rows moved: `make bench-scale`.

Mult-VAE with the sampled likelihood, in four leaves, on made-up logs of a million and of ten million items, by
processes of one thread each on this machine: with `shard_items`, and, of a million, as without; "small" are tables of
bfloat16 that row-wise Adam moves. A run is four epochs,
of which the second and third are timed, without what is done once an epoch: to bring every row up to date. No
validation, no checkpoint before the end. `training_gib` is the largest resident set of any worker before the last
epoch, `peak_gib` that of the whole run.

    python -m tests.benchmarks.scale_sharded [--only 1m] [--fresh] [--print]

Each run is one JSON file under results/scale-sharded. The last line of output is JSON.
"""

import argparse
import json
import re
import resource
import tempfile
import time
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from recsys_vae.models.configs.mult_vae import MultVAEConfig
from recsys_vae.models.mult_vae import MultVAE
from recsys_vae.nn.item_parts import ItemPart, item_tables_of
from recsys_vae.training.config import BFLOAT16, ROWWISE_ADAM, TrainingConfig
from recsys_vae.training.lazy_adam import LazyAdam
from recsys_vae.training.leaves import LEAVES
from recsys_vae.training.loop import train
from recsys_vae.training.parallel import Group, join
from recsys_vae.training.rowwise_adam import RowwiseAdam
from tests.benchmarks.records import existing, record
from tests.benchmarks.scale_training import torchrun
from tests.benchmarks.scaling import made_up_log

BENCHMARK = "scale-sharded"
GIB = float(2**30)
EPOCHS = 4


class World(NamedTuple):
    """What is trained on: items, how wide the tables are, users, and how many of them a step has."""

    items: int
    width: int
    users: int
    batch: int


WORLDS = {
    "1m": World(10**6, 128, 4096, 512),
    "1m-large-batches": World(10**6, 128, 6144, 2048),
    "10m": World(10**7, 32, 2048, 512),
    "1m-small": World(10**6, 128, 4096, 512),
    "10m-small": World(10**7, 128, 6144, 512),
}
SMALL = {"table_optimizer": ROWWISE_ADAM, "table_precision": BFLOAT16}
RUNS = {
    "1m-large-batches whole by 1": ("1m-large-batches", False, 1),
    "1m-large-batches shared by 4": ("1m-large-batches", True, 4),
    "1m whole by 1": ("1m", False, 1),
    "1m whole by 2": ("1m", False, 2),
    "1m shared by 1": ("1m", True, 1),
    "1m shared by 2": ("1m", True, 2),
    "1m shared by 4": ("1m", True, 4),
    "10m shared by 2": ("10m", True, 2),
    "10m shared by 4": ("10m", True, 4),
    "1m-small shared by 1": ("1m-small", True, 1),
    "1m-small shared by 2": ("1m-small", True, 2),
    "1m-small shared by 4": ("1m-small", True, 4),
    "10m-small shared by 1": ("10m-small", True, 1),
    "10m-small shared by 2": ("10m-small", True, 2),
    "10m-small shared by 4": ("10m-small", True, 4),
}


class Counted(Group):
    """A group that counts the bytes of rows that one of its processes gives to others."""

    moved = 0

    def hand_out(self, numbers: Tensor, given: "list[int]", taken: "list[int]") -> Tensor:  # type: ignore[override]
        """As the group does."""
        rows = len(numbers) - given[self.rank] if self.size > 1 else 0
        Counted.moved += rows * numbers[:1].nbytes
        return super().hand_out(numbers, given, taken)


class Watched(MultVAE):
    """Notes the time, that of the processor, and the bytes that were moved, of the steps of each epoch; the memory."""

    def begin_epoch(self, epoch: int) -> None:
        """Note the beginning."""
        if not epoch:
            self.steps: list[list[float]] = []
        self.gib, self._begun = peak(), now()

    def end_steps(self) -> None:
        """Note the end."""
        self.steps.append([after - before for before, after in zip(self._begun, now(), strict=True)])


def now() -> list[float]:
    """Time, that of the processor, and the bytes that were moved."""
    return [time.perf_counter(), time.process_time(), float(Counted.moved)]


def peak() -> float:
    """GiB of this process's largest resident set so far."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 2**20 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def turn(name: str, output: Path) -> None:
    """Train, as one of the processes that torchrun has started."""
    world, shared, _ = RUNS[name]
    of = WORLDS[world]
    matrix = made_up_log(of.items)[: of.users]
    training = TrainingConfig(
        epochs=EPOCHS, batch_size=of.batch, patience=0, device="cpu", likelihood="sampled", leaves=LEAVES,
        shard_items=shared, checkpoint_seconds=1e9, **(SMALL if world.endswith("small") else {}),
    )  # fmt: skip
    with join() as members:
        group = Counted(members.rank, members.size, members.local_rank)
        torch.manual_seed(0)
        part = ItemPart(group.rank, group.size, getattr(torch, training.table_precision))
        with item_tables_of(part if shared else None):
            model = Watched(of.items, MultVAEConfig(hidden=of.width, latent=of.width // 2))
        place = output.with_suffix(".safetensors") if shared else None
        optimizer_of = RowwiseAdam if training.table_optimizer == ROWWISE_ADAM else LazyAdam
        catch_up = optimizer_of.catch_up

        def after_steps(optimizer: LazyAdam) -> None:
            model.end_steps()
            catch_up(optimizer)  # type: ignore[arg-type]

        with patch.object(optimizer_of, "catch_up", after_steps):
            train(model, matrix, training, checkpoint=place, group=group)
        seconds, processor, moved = (sum(some) for some in zip(*model.steps[1:-1], strict=True))
        own = [processor, moved, model.gib, peak()]  # before all weights are read
        told, users = group.gather(torch.tensor(own, dtype=torch.float64)), (EPOCHS - 2) * matrix.shape[0]
        if not group.is_first:
            return
        digest = sha256()
        for key, tensor in sorted(model.tensors().items()):
            digest.update(key.encode())
            digest.update(np.ascontiguousarray(tensor).data)
        figures = {
            "users_per_second": users / seconds,
            "users_per_processor_s": users / float(told[:, 0].sum()),
            "training_gib": float(told[:, 2].max()),
            "peak_gib": float(told[:, 3].max()),
            "moved_bytes_a_step": float(told[:, 1].sum()) / (users / of.batch),
            "weights_gib": sum(tensor.nbytes for tensor in model.tensors().values()) / GIB,
            "sha256": digest.hexdigest(),
        }
        output.write_text(json.dumps(figures))


def measure(name: str) -> dict[str, Any]:
    """Figures of a run."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "figures.json"
        torchrun(RUNS[name][2], "tests.benchmarks.scale_sharded", "--worker", name, str(output), check=True)
        found: dict[str, Any] = json.loads(output.read_text())
    return found


def show(records: dict[str, dict[str, Any]]) -> None:
    """Print a table of all runs."""
    table = Table("", "users/s", "of a core", "GiB in training", "GiB at the peak", "MB moved a step", "weights")
    for name, entry in records.items():
        one = entry["figures"]
        speed = [f"{one[key]:,.0f}" for key in ("users_per_second", "users_per_processor_s")]
        memory = [f"{one[key]:,.2f}" for key in ("training_gib", "peak_gib")]
        table.add_row(name, *speed, *memory, f"{one['moved_bytes_a_step'] / 1e6:,.1f}", one["sha256"][:8])
    Console(width=120).print(table)


def main() -> None:
    """Measure what is missing, print everything, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure again what has a record")
    parser.add_argument("--only", default="", help="runs whose names have this in them")
    parser.add_argument("--print", action="store_true", help="measure nothing")
    parser.add_argument("--worker", nargs=2, metavar=("RUN", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        turn(arguments.worker[0], Path(arguments.worker[1]))
        return
    for name in RUNS:
        if arguments.only in name and not arguments.print:
            record(BENCHMARK, name.replace(" ", "-"), partial(measure, name), fresh=arguments.fresh)
    kept = {name: existing(BENCHMARK, name.replace(" ", "-")) for name in RUNS}
    records = {name: entry for name, entry in kept.items() if entry}
    show(records)
    figures = ("users_per_second", "users_per_processor_s", "training_gib", "peak_gib")
    told = {name: {key: round(entry["figures"][key], 2) for key in figures} for name, entry in records.items()}
    equal = {
        world: len({entry["figures"]["sha256"] for name, entry in records.items() if RUNS[name][0] == world}) == 1
        for world in WORLDS
    }
    print(json.dumps({"sharded": told, "sharded_equal": equal}))


if __name__ == "__main__":
    main()
