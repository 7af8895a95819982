"""Runs in leaves, for `test_leaves`: `python -m tests.recsys_vae.training.in_leaves SCENARIO FOLDER`."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from recsys_vae.errors import RecsysError
from recsys_vae.models import catalog
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.models.trainable import Trainable
from recsys_vae.nn.objective import Loss
from recsys_vae.training import parallel
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.loop import train
from recsys_vae.training.parallel import Group, join
from tests.recsys_vae.training.held_out import held_out
from tests.worlds import SMALL, by_row, two_tastes

WORLD = two_tastes()
CONFIG = TrainingConfig(
    epochs=2, batch_size=13, learning_rate=0.01, checkpoint_seconds=0.0, device="cpu", precision="float32", leaves=4
)
"""40 users in batches of 13: leaves of 4 and 3 users, and in an epoch's last batch one of 1 and three of none."""


def every_model(group: Group, folder: Path | None = None) -> dict[str, Tensor]:
    """What every model comes to, one whose first and last layers learn by rows, some in bfloat16."""
    found = {}
    by_gradient = [name for name, entry in catalog.CATALOG.items() if issubclass(entry.model, Trainable)]
    runs = [*((name, "exact", "float32") for name in by_gradient), ("mult-vae", "sampled", "float32")]
    for name, likelihood, precision in [
        *runs,
        *((name, "exact", "bf16") for name in ("mult-dae", "rec-vae", "sasrec")),
    ]:
        torch.manual_seed(0)
        model = catalog.create(name, 12, SMALL[name])
        told = replace(CONFIG, likelihood=likelihood, negatives=6, precision=precision)
        result = train(model, WORLD.matrix, told, group=group, order=by_row(WORLD.matrix), validation=held_out())
        values = [[record["loss"], record["ndcg@100"]] for record in result.history]
        told_by_name = model.state_dict() | {"history": torch.tensor(values, dtype=torch.float64)}
        found |= {f"{name}.{likelihood}.{precision}.{key}": value for key, value in told_by_name.items()}
    return found


class Dying(MultVAE):
    """Dies with one of its processes in its fifth step, without a word."""

    left, rank = 0, 0

    def loss(self, *arguments: object, **options: object) -> Loss:
        self.left -= 1
        if not self.left and self.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(*arguments, **options)  # type: ignore[arg-type]


def one_run(group: Group, checkpoint: Path | None = None, left: int = 0) -> dict[str, Tensor]:
    """Weights of a run that goes on from a checkpoint where there is one.

    Args:
        left: losses of the second process until it dies; it lives where 0.
    """
    torch.manual_seed(0)
    model = Dying(12, MultVAEConfig(hidden=16, latent=4))
    model.left, model.rank = left, group.rank
    train(model, WORLD.matrix, CONFIG, validation=held_out(), checkpoint=checkpoint, resume=True, group=group)
    return model.state_dict()


def killed(group: Group, folder: Path) -> dict[str, Tensor]:
    """A run whose second process is killed."""
    return one_run(group, folder / "checkpoint", left=10)  # two leaves a step


SCENARIOS: dict[str, Callable[[Group, Path], dict[str, Tensor]]] = {"every_model": every_model, "killed": killed}
Dying.__name__ = "MultVAE"  # a part of a checkpoint's identity

if __name__ == "__main__":
    parallel.LARGE = 20  # some gradients travel by themselves
    try:
        with join() as members:
            done = SCENARIOS[sys.argv[1]](members, Path(sys.argv[2]))
            save_file({key: value.contiguous() for key, value in done.items()}, Path(sys.argv[2]) / f"{members.rank}")
    except RecsysError as stopped:
        sys.exit(f"error: {stopped}")
