"""Checkpoints: everything that a training run is at one moment, in one file that appears whole or not at all.

The file is a safetensors file: tensors under `model.`, `best.`, `adam.`, `rng` and `latent_kl`, the rest as JSON in its
metadata, with a SHA-256 of both.
Nothing is pickled. A run restored from it continues bit for bit on a CPU.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy.sparse import csr_array
from torch import Tensor

from recsys_vae.atomic import atomic_file, remove_partials
from recsys_vae.errors import CheckpointError, DataError, TrainingError, UnknownNameError
from recsys_vae.nn.sparse_layers import Sums
from recsys_vae.settings import from_plain
from recsys_vae.training.parallel import ALONE, Group
from recsys_vae.training.shared_files import publish

FORMAT = 2
CHECKSUM = "checksum"
"""In the metadata; checkpoints of earlier versions have none."""


class Stateful(Protocol):
    """A model, as a checkpoint sees it."""

    def state_dict(self) -> dict[str, Any]:
        """Weights by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Take over weights by name."""


Model = TypeVar("Model", bound=Stateful)
Optimizer = TypeVar("Optimizer", bound=torch.optim.Optimizer)


@dataclass
class RunState:
    """Where a run stands, apart from its tensors.

    Attributes:
        identity: fingerprint of configuration, model and data; a checkpoint of another one is refused.
        run_id: identity at the tracking server.
        epoch: epochs that are complete.
        step: batches of the running epoch that are done.
        sums: running totals of the epoch: users, and over them loss, nll, kl (nats) and seconds.
        best_epoch: number of epochs after which the validation value was best; 0 before the first.
        best_value: that value.
        history: what was measured after each epoch.
        seconds: training time so far.
    """

    identity: str
    run_id: str | None = None
    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * 5)
    best_epoch: int = 0
    best_value: float = float("-inf")
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    def add_step(self, users: int, loss: float, nll: float, kl: float, seconds: float) -> None:
        """Count one step.

        Raises:
            TrainingError: the loss is infinite or NaN.
        """
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss became {loss} in epoch {self.epoch + 1}, step {self.step + 1}. Lower learning_rate, or use "
                "precision float32."
            )
        self.step += 1
        self.seconds += seconds
        self.sums = [
            total + users * value for total, value in zip(self.sums, (1.0, loss, nll, kl, seconds / users), strict=True)
        ]

    def means(self) -> dict[str, float]:
        """Loss, nll and kl a user over the running epoch, and users a second."""
        users, loss, nll, kl, seconds = self.sums
        return {"loss": loss / users, "nll": nll / users, "kl": kl / users, "users_per_second": users / seconds}

    def close_epoch(self) -> dict[str, float]:
        """Turn the page; returns the means of the epoch."""
        means = self.means()
        self.epoch, self.step, self.sums = self.epoch + 1, 0, [0.0] * 5
        return means

    def is_out_of_patience(self, patience: int) -> bool:
        """Whether the last `patience` epochs brought nothing better; never where patience is 0 or nothing validated."""
        return bool(patience and self.best_epoch and self.epoch - self.best_epoch >= patience)


@dataclass
class Run(Generic[Model, Optimizer]):
    """A training run in memory: everything that changes while it goes on.

    Attributes:
        model, optimizer: being trained.
        generator: source of dropout and sampling noise; None where each step has sources of its own (`leaves`).
        state: where the run stands.
        group: processes that it goes on in; all of them hold the same, but for the generator.
        best: weights of the best epoch so far; empty before the first validation.
        latent_kl: nats by latent dimension after each epoch, shape (d,) each; of variational models only.
    """

    model: Model
    optimizer: Optimizer
    generator: torch.Generator | None
    state: RunState
    group: Group = ALONE
    best: dict[str, Tensor] = field(default_factory=dict)
    latent_kl: list[Tensor] = field(default_factory=list)

    def keep_best(self, value: float) -> None:
        """Keep the weights of the epoch that is complete where its validation value is the best so far."""
        if value > self.state.best_value:
            self.state.best_epoch, self.state.best_value = self.state.epoch, value
            self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def in_common(self) -> dict[str, Tensor]:
        """What is the same in every process."""
        return self.model.state_dict()

    def sums_of(self, histories: csr_array) -> Sums | None:
        """What adds up the first layer's rows of histories, shape (n, n_items); the layer itself when None."""
        return None

    def restore(self, path: Path) -> None:
        """Put the run, freshly prepared, where the saved one stood; raises as `restore_checkpoint`."""
        restore_checkpoint(path, self)

    def complete(self, path: Path | None) -> None:
        """Save the run, which is complete, and let the model have its best weights. Every process calls this."""
        if path is not None:
            save_checkpoint(path, self)
        if self.best:
            self.model.load_state_dict(self.best)

    def save(self, path: Path) -> None:
        """Write the run to `path`, atomically; the first process does."""
        noise = None if self.generator is None else self.group.gather(self.generator.get_state())
        if self.group.is_first:
            _write(path, self, noise)
            publish(path, self.group.storage)


def save_checkpoint(path: Path, run: Run[Any, Any]) -> None:
    """Write the run to `path`, atomically. Every process of the run calls this and waits."""
    run.save(path)
    run.group.wait()


def _write(path: Path, run: Run[Any, Any], noise: Tensor | None) -> None:
    tensors = {f"model.{name}": value for name, value in run.model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in run.best.items()}
    for index, moments in run.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value for name, value in moments.items()}
    if noise is not None:
        tensors["rng"] = noise
    if run.latent_kl:
        tensors["latent_kl"] = torch.stack(run.latent_kl)
    write_state(path, run.state, tensors)


def write_state(path: Path, state: RunState, tensors: Mapping[str, Tensor], **further: str) -> None:
    """Write where a run stands and its tensors, atomically, and whatever else there is to say of them."""
    copies = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with atomic_file(path) as temporary:
        told = {"format": str(FORMAT), "state": json.dumps(asdict(state)), **further}
        save_file(copies, temporary, told | {CHECKSUM: _checksum(told, copies)})


def restore_checkpoint(path: Path, run: Run[Any, Any]) -> None:
    """Put a freshly prepared run where the saved one stood.

    Raises:
        CheckpointError: the file is unreadable or damaged, or was written by a run with other settings, model or data,
            or in another number of processes.
    """
    state, tensors, _ = read_state(path, run.state)
    if run.generator is not None:
        _restore_noise(path, tensors["rng"], run.generator, run.group)
    run.model.load_state_dict(tensors_under("model.", tensors))
    moments = moments_in(tensors)
    run.optimizer.load_state_dict({"state": moments, "param_groups": run.optimizer.state_dict()["param_groups"]})
    run.state, run.best = state, tensors_under("best.", tensors)
    run.latent_kl = list(tensors.get("latent_kl", ()))


def read_state(path: Path, asked: RunState) -> tuple[RunState, dict[str, Tensor], dict[str, str]]:
    """What `write_state` wrote of the run that is asked for.

    Raises:
        CheckpointError: the file is unreadable or damaged, or was written by another run.
    """
    metadata, tensors = _read(path)
    if metadata.get("format") != str(FORMAT):
        raise CheckpointError(f"Checkpoint {path} has format {metadata.get('format')}, this version reads {FORMAT}.")
    state = _state(path, metadata, type(asked))
    if state.identity != asked.identity:
        raise CheckpointError(
            f"Checkpoint {path} belongs to a run with other settings, model or data. Resume with the settings it was "
            "started with, or delete it to start over."
        )
    return state, tensors, {name: value for name, value in metadata.items() if name not in ("format", "state")}


def saved_run_id(path: Path) -> str | None:
    """Identity at the tracking server of the run that a checkpoint belongs to; None where there is no checkpoint."""
    if not path.exists():
        return None
    return _state(path, _read(path)[0], RunState, passing_over=True).run_id


def _state(path: Path, metadata: Mapping[str, str], kind: type[RunState], *, passing_over: bool = False) -> RunState:
    """Where the saved run stood.

    Raises:
        CheckpointError: it does not say so, or says what this version does not know.
    """
    try:
        return from_plain(kind, json.loads(metadata["state"]), "the state of a run", passing_over=passing_over)
    except (ValueError, KeyError, DataError, UnknownNameError) as error:
        raise CheckpointError(
            f"Checkpoint {path} does not say where its run stood, in the words of this version: {error} Resume with "
            "the version that wrote it, or delete it to start over."
        ) from error


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    remove_partials(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"Checkpoint {path} cannot be read: {error}. Delete it to start over.") from error
    told = {name: value for name, value in metadata.items() if name != CHECKSUM}
    if CHECKSUM in metadata and metadata[CHECKSUM] != _checksum(told, tensors):
        raise CheckpointError(
            f"Checkpoint {path} is damaged: its content does not have its checksum. Delete it to start over."
        )
    return told, tensors


def _checksum(told: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all that a checkpoint holds, names, types and shapes included."""
    digest = sha256(json.dumps(told, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def tensors_under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names begin so, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _restore_noise(path: Path, states: Tensor, generator: torch.Generator, group: Group) -> None:
    noise = states.reshape(-1, states.shape[-1])
    if len(noise) != group.size:
        raise CheckpointError(
            f"Checkpoint {path} was written by {len(noise)} process(es), and {group.size} want to go on from it. "
            "Each needs its own generator: resume with as many as before."
        )
    generator.set_state(noise[group.rank].clone())  # it reads from the start of the storage


def moments_in(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Moments of each parameter, by its number in the optimizer, as a checkpoint has them."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors_under("adam.", tensors).items():
        index, _, moment = name.partition(".")
        moments.setdefault(int(index), {})[moment] = value
    return moments
