"""What two processes do together in `test_parallel`: `python -m tests.recsys_vae.training.together SCENARIO FOLDER`."""

import signal
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, distributed

from recsys_vae.errors import CheckpointError, RecsysError
from recsys_vae.models import catalog
from recsys_vae.models.elsa import ELSA, ELSAConfig
from recsys_vae.models.mult_dae import MultDAE, MultDAEConfig
from recsys_vae.models.mult_vae import MultVAE, MultVAEConfig
from recsys_vae.models.trainable import Trainable
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sampled_softmax import SampledSoftmax
from recsys_vae.training import parallel
from recsys_vae.training.batches import Batches
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.likelihood import learn_by_rows
from recsys_vae.training.loop import train
from recsys_vae.training.parallel import ALONE, Group, join
from tests.recsys_vae.training.held_out import held_out
from tests.worlds import SMALL, by_row, two_tastes

WORLD = two_tastes()
CONFIG = TrainingConfig(
    epochs=4, batch_size=13, learning_rate=0.01, checkpoint_seconds=1e9, device="cpu", precision="float32"
)
"""40 users in batches of 13: the shares are 7 and 6 users, and in the last batch of each epoch 1 and none."""


def still(kind: str) -> Trainable:
    """A model whose steps are free of noise."""
    torch.manual_seed(0)
    if kind == "elsa":
        return ELSA(12, ELSAConfig(5))
    return MultDAE(12, MultDAEConfig(hidden=8, dropout=0.0, l2=0.01))


def noisy(seed: int = 0) -> MultVAE:
    """A model that draws noise."""
    torch.manual_seed(seed)
    return MultVAE(12, MultVAEConfig(hidden=16, latent=4))


def gradients(group: Group, *, by_rows: bool) -> dict[str, Tensor]:
    """Gradients of the first batches of an epoch, dense ones, or those of the rows looked at."""
    model = still("mult-dae")
    objective = Objective(0.0)
    if by_rows:
        learn_by_rows(model)
        sampler = SampledSoftmax(torch.ones(12), 3)
        drawn = torch.tensor([1, 7, 7])
        objective = Objective(0.0, likelihood=lambda *arguments: sampler.with_draws(*arguments, drawn))
        model.config = replace(model.config, l2=0.0)  # a penalty of all rows would make every gradient dense
    found = {}
    for number, batch in enumerate(Batches(WORLD.matrix, 13, 0, torch.device("cpu"), group).epoch(0)):
        model.zero_grad()
        (batch.share * model.loss(batch.rows, objective).total).backward()
        group.add_gradients(model)
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            assert parameter.grad.is_sparse == (by_rows and name in ("encoder.weight", "output.weight"))
            found[f"{number}.{name}"] = parameter.grad.to_dense().contiguous()
    return found


def steps(group: Group, kind: str) -> dict[str, Tensor]:
    """Weights and losses after some epochs without noise."""
    model = still(kind)
    result = train(model, WORLD.matrix, CONFIG, validation=held_out(), group=group)
    losses = torch.tensor([[record["loss"], record["ndcg@100"]] for record in result.history], dtype=torch.float64)
    return model.state_dict() | {"history": losses}


def equality(group: Group, large: int) -> dict[str, Tensor]:
    """All that must not depend on the number of processes; gradients of `large` numbers and more travel alone."""
    parallel.LARGE = large
    results = {
        "dense": gradients(group, by_rows=False),
        "rows": gradients(group, by_rows=True),
        "mult-dae": steps(group, "mult-dae"),
        "elsa": steps(group, "elsa"),
    }
    return {f"{part}/{name}": value for part, tensors in results.items() for name, value in tensors.items()}


def noise(group: Group) -> dict[str, Tensor]:
    """Every model, from weights that differ between processes, with noise of their own; and once with steps by rows."""
    found = {"drawn": torch.rand(4, generator=torch.Generator().manual_seed(group.seed(42)))}
    by_gradient = [name for name, entry in catalog.CATALOG.items() if issubclass(entry.model, Trainable)]
    for name, likelihood in [*((name, "exact") for name in by_gradient), ("mult-vae", "sampled")]:
        torch.manual_seed(group.rank)
        model = catalog.create(name, 12, SMALL[name])
        told = replace(CONFIG, likelihood=likelihood, negatives=6)
        train(model, WORLD.matrix, told, group=group, order=by_row(WORLD.matrix))
        found |= {f"{name}.{likelihood}.{key}": value for key, value in model.state_dict().items()}
    return found


class Interrupting(MultVAE):
    """One of the processes gets Ctrl-C in its sixth step."""

    left, rank = 6, 0

    def loss(self, *arguments: object, **options: object) -> Loss:
        self.left -= 1
        if not self.left and self.rank == 1:
            signal.raise_signal(signal.SIGINT)
        return super().loss(*arguments, **options)  # type: ignore[arg-type]


def resume(group: Group, folder: Path) -> dict[str, Tensor]:
    """An undisturbed run, and one that was interrupted in the second process and goes on."""
    whole = noisy()
    train(whole, WORLD.matrix, CONFIG, validation=held_out(), group=group)
    Interrupting.__name__ = "MultVAE"
    torch.manual_seed(0)
    interrupted, checkpoint = Interrupting(12, MultVAEConfig(hidden=16, latent=4)), folder / "checkpoint"
    interrupted.rank = group.rank
    try:
        train(interrupted, WORLD.matrix, CONFIG, validation=held_out(), checkpoint=checkpoint, group=group)
    except KeyboardInterrupt:
        left = interrupted.left
    resumed = noisy(seed=3)
    messages = []
    if group.is_first:
        messages.append(refusal(checkpoint, ALONE))
    train(resumed, WORLD.matrix, CONFIG, validation=held_out(), checkpoint=checkpoint, resume=True, group=group)
    messages.append(refusal(folder / f"missing-{group.rank}" if group.rank else checkpoint, group))
    (folder / f"refused-{group.rank}").write_text("\n".join(messages))
    both = {"whole": whole, "resumed": resumed}
    return {f"{run}/{name}": value for run, model in both.items() for name, value in model.state_dict().items()} | {
        "left": torch.tensor(left)
    }


def refusal(checkpoint: Path, group: Group) -> str:
    """What is said about a checkpoint that cannot be resumed from."""
    try:
        train(noisy(), WORLD.matrix, CONFIG, checkpoint=checkpoint, resume=True, group=group)
    except CheckpointError as error:
        return str(error)
    return "accepted"


class Failing(MultVAE):
    """One of the processes fails in its third step."""

    left, rank = 3, 0

    def loss(self, *arguments: object, **options: object) -> Loss:
        self.left -= 1
        if not self.left and self.rank == 1:
            raise RecsysError("the second process is out of luck")
        return super().loss(*arguments, **options)  # type: ignore[arg-type]


def failure(group: Group, folder: Path) -> dict[str, Tensor]:
    """An error in one process."""
    model = Failing(12, MultVAEConfig(hidden=16, latent=4))
    model.rank = group.rank
    train(model, WORLD.matrix, CONFIG, group=group)
    return {}


def success(group: Group, folder: Path) -> dict[str, Tensor]:
    """All that is compared, in one go: most of the time goes by while processes start."""
    parts = {"together": equality(group, 1 << 18), "apart": equality(group, 1)}
    parts |= {"noise": noise(group), "resume": resume(group, folder)}
    return {f"{part}/{name}": value.contiguous() for part, found in parts.items() for name, value in found.items()}


SCENARIOS: dict[str, Callable[[Group, Path], dict[str, Tensor]]] = {"success": success, "failure": failure}


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be inherited as ignored
    try:
        with join() as members:
            connections = weakref.ref(distributed.group.WORLD)
            done = SCENARIOS[sys.argv[1]](members, Path(sys.argv[2]))
            save_file(done, Path(sys.argv[2]) / f"{members.rank}.safetensors")
        if connections() is not None:
            sys.exit("error: the connections are still open")
    except RecsysError as stopped:
        sys.exit(f"error: {stopped}")
