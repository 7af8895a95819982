"""Runs with shared-out item tables, for `test_item_shards`: `python -m tests.recsys_vae.training.in_shards FOLDER`."""

import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from safetensors.torch import save_file
from scipy.sparse import csr_array
from torch import Tensor

from recsys_vae.data.ids import IdMap
from recsys_vae.errors import RecsysError
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models.mult_dae import MultDAE, MultDAEConfig
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.models.trainable import Trainable
from recsys_vae.nn.item_parts import ItemPart, item_tables_of
from recsys_vae.nn.objective import Loss
from recsys_vae.training import item_shards, sharded_steps
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.loop import TrainingResult, train
from recsys_vae.training.parallel import ALONE, Group, join

ITEMS = 48
CONFIG = TrainingConfig(
    epochs=3,
    batch_size=13,
    learning_rate=0.01,
    checkpoint_seconds=1e9,
    device="cpu",
    precision="float32",
    likelihood="sampled",
    negatives=6,
    leaves=4,
    shard_items=True,
    validation_metric="ndcg@5",
)
"""40 users in batches of 13: leaves of 4 and 3 users, and in an epoch's last batch one of 1 and three of none."""
SMALL_TABLES = replace(CONFIG, table_optimizer="rowwise_adam", table_precision="bfloat16")


def log(n_items: int = ITEMS) -> csr_array:
    """What 40 users have touched, some items more than others."""
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(40), 8), np.minimum(rng.pareto(1, 320) * 5, n_items - 1).astype(int)
    matrix = csr_array((np.ones(320, np.float32), (users, items)), shape=(40, n_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def held_out(matrix: csr_array) -> HeldOut:
    """Every third item of 38 users asked, the others shown: leaves of 10, 10, 9 and 9 users."""
    asked = csr_array((np.arange(matrix.nnz) % 3 == 0, matrix.indices, matrix.indptr), shape=matrix.shape)
    matrix, asked = matrix[:38], asked[:38]
    parts = (matrix - matrix.multiply(asked), matrix.multiply(asked))
    shown, targets = (csr_array(part, dtype=np.float32) for part in parts)
    shown.eliminate_zeros()
    targets.eliminate_zeros()
    return HeldOut(IdMap(pl.Series([f"{user:02d}" for user in range(38)])), shown, targets)


def fresh(
    kind: str, group: Group, *, whole: bool = False, n_items: int = ITEMS, config: TrainingConfig = CONFIG
) -> Trainable:
    """A model, and in it this process's part of the item tables, or all of them."""
    torch.manual_seed(0)
    part = ItemPart(group.rank, group.size, getattr(torch, config.table_precision))
    with item_tables_of(None if whole else part):
        if kind == "mult-dae":
            return MultDAE(n_items, MultDAEConfig(hidden=16, l2=0.0))
        return (Stopped if kind == "stopped" else MultVAE)(n_items, MultVAEConfig(hidden=16, latent=4))


class Stopped(MultVAE):
    """Gets Ctrl-C in the middle of its second epoch."""

    left = 0

    def loss(self, *arguments: object, **options: object) -> Loss:
        self.left -= 1
        if not self.left:
            signal.raise_signal(signal.SIGINT)
        return super().loss(*arguments, **options)  # type: ignore[arg-type]


Stopped.__name__ = "MultVAE"  # a part of a checkpoint's identity


def run(
    model: Trainable, checkpoint: Path, group: Group = ALONE, config: TrainingConfig = CONFIG, *, n_items: int = ITEMS
) -> TrainingResult:
    """Train, or go on."""
    matrix = log(n_items)
    return train(model, matrix, config, validation=held_out(matrix), checkpoint=checkpoint, resume=True, group=group)


def outcome(model: Trainable, result: TrainingResult) -> dict[str, Tensor]:
    """All that must be the same."""
    values = [[record["loss"], record["ndcg@5"]] for record in result.history]
    return {**model.state_dict(), "history": torch.tensor(values, dtype=torch.float64)}


def stopped(checkpoint: Path, group: Group, config: TrainingConfig = CONFIG) -> None:
    """A run that ends without being complete."""
    model = fresh("stopped", group, config=config)
    assert isinstance(model, Stopped)
    model.left = 6 * 4 // group.size + 1  # four steps an epoch; each of them four leaves
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be inherited as ignored
    try:
        run(model, checkpoint, group, config)
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGINT, before)
    raise AssertionError("it was not stopped")


def every_run(group: Group, folder: Path) -> dict[str, Tensor]:
    """What both models come to, in float32 and in bfloat16, and with tables of bfloat16."""
    found = {}
    for kind, precision in (("mult-vae", "float32"), ("mult-dae", "float32"), ("mult-vae", "bf16")):
        model = fresh(kind, group)
        result = run(model, folder / f"{kind}-{precision}.safetensors", group, replace(CONFIG, precision=precision))
        found |= {f"{kind}.{precision}.{name}": value for name, value in outcome(model, result).items()}
    model = fresh("mult-vae", group, config=SMALL_TABLES)
    result = run(model, folder / "small.safetensors", group, SMALL_TABLES)
    return found | {f"small.{name}": value for name, value in outcome(model, result).items()}


def resumed(group: Group, folder: Path) -> dict[str, Tensor]:
    """What comes of a run that other processes go on with: several with one's, one with that of several."""
    both = {}
    for before, config in (("", CONFIG), ("small.", SMALL_TABLES)):
        begun = folder / f"{before}begun"
        if group.is_first:
            stopped(begun / "alone.safetensors", ALONE, config)
        stopped(begun / "together.safetensors", group, config)
        model, alone = (fresh("mult-vae", some, config=config) for some in (group, ALONE))
        own = shutil.copytree(begun, folder / f"{before}begun-{group.rank}")
        group.wait()
        both |= {
            f"{before}together": outcome(model, run(model, begun / "alone.safetensors", group, config)),
            f"{before}alone": outcome(alone, run(alone, own / "together.safetensors", config=config)),
        }
    return {f"{who}.{name}": value for who, found in both.items() for name, value in found.items()}


if __name__ == "__main__":
    item_shards.BLOCK, sharded_steps.USERS_AT_ONCE = 16, 9  # so that there are several, and as many in each process
    try:
        with join() as members:
            place = Path(sys.argv[1])
            done = every_run(members, place) | resumed(members, place)
            save_file({key: value.detach().contiguous() for key, value in done.items()}, place / f"{members.rank}")
    except RecsysError as stopped_by:
        sys.exit(f"error: {stopped_by}")
