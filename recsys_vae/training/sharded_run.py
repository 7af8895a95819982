"""Checkpoints and weights of a run whose item tables are shared out (`item_shards`): every process writes its part.

    NAME.safetensors                            where the run stands, its small tensors, and which files belong to it
    NAME.EPOCH-STEP.part-R-of-N.safetensors     rows of the tables and of their moments that process R of N holds
    NAME.best-EPOCH.part-R-of-N.safetensors     rows of the tables after the best epoch so far
    NAME.weights.safetensors                    all weights, once the run is complete

The first file takes effect when it is there, and names the others with their checksums; those that it does not name are
removed. Any number of processes may go on from the parts of another. Tables are written from where they lie and put
together block by block, so that no process ever holds one, and in the end the model's weights are mapped.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from scipy.sparse import csr_array
from torch import Tensor, nn

from recsys_vae.atomic import atomic_file, remove_partials
from recsys_vae.errors import CheckpointError, DataError
from recsys_vae.models.trainable import Trainable
from recsys_vae.nn.sparse_layers import Sums
from recsys_vae.tensor_file import Blocks, map_tensors, write_tensors
from recsys_vae.training.checkpoint import Run, RunState, moments_in, read_state, tensors_under, write_state
from recsys_vae.training.device import return_freed_memory
from recsys_vae.training.item_shards import BLOCK, ItemShards
from recsys_vae.training.lazy_adam import LazyAdam
from recsys_vae.training.parallel import Group
from recsys_vae.training.shared_files import fetch, publish, withdraw

Files: TypeAlias = list[dict[str, str]]
"""Name and checksum of each process's file, the first process's first."""
Parts: TypeAlias = dict[int, dict[str, NDArray[Any]]]
"""Tensors that processes have written, by the number of each."""
WEIGHTS, PARTS, BEST = "weights", "parts", "best"


@dataclass
class ShardedRun(Run[Trainable, LazyAdam]):
    """A run of which each process holds a part of the item tables.

    Attributes:
        shards: of the model.
        path: of the checkpoint.
        of_best: files of the best epoch so far; none before the first validation. Its other weights are in `best`.
    """

    shards: ItemShards = field(kw_only=True)
    path: Path = field(kw_only=True)
    of_best: Files = field(default_factory=list, kw_only=True)

    def keep_best(self, value: float) -> None:
        """Write the weights of the epoch that is complete where its validation value is the best so far."""
        if value > self.state.best_value:
            self.state.best_epoch, self.state.best_value = self.state.epoch, value
            self._keep()

    def save(self, path: Path) -> None:
        """Write the run, atomically; every process its part."""
        tables = {f"model.{name}": table for name, table in self._tables().items()}
        small = {f"model.{name}": tensor for name, tensor in self._small().items()}
        for index, parameter in enumerate(self._parameters()):
            for name, tensor in self.optimizer.state.get(parameter, {}).items():
                is_row = self._is_table(parameter) and tensor.dim()
                (tables if is_row else small)[f"adam.{index}.{name}"] = tensor
        parts = self._write_parts(f"{self.state.epoch}-{self.state.step}", tables)
        self._commit(small, parts=parts, best=self.of_best)

    def in_common(self) -> dict[str, Tensor]:
        """What is the same in every process."""
        return self._small()

    def sums_of(self, histories: csr_array) -> Sums:
        """What adds up the first layer's rows of histories, shape (n, n_items); every process calls this."""
        return self.shards.reading(histories).sums

    def restore(self, path: Path) -> None:
        """Put a freshly prepared run where the saved one stood, by whatever number of processes it was written.

        Raises:
            CheckpointError: a file is missing or damaged, or belongs to another run.
        """
        state, tensors, told = read_state(path, self.state)
        own = self.model.state_dict()
        for name, tensor in tensors_under("model.", tensors).items():
            own[name].copy_(tensor)
        files = _files(told, PARTS)
        parts, others = _read_parts(path, files, self.group), len(files)
        for name, table in self._tables().items():
            self._fill(table, f"model.{name}", parts, others)
        small = moments_in(tensors)
        for index, parameter in enumerate(self._parameters()):
            moments = dict(small.get(index, {}))
            if self._is_table(parameter):
                one = next(iter(parts.values()))
                rows = {name.rpartition(".")[2] for name in one if name.startswith(f"adam.{index}.")}
                moments |= {name: self._moment(index, name, parameter, parts, others) for name in sorted(rows)}
            if moments:
                self.optimizer.state[parameter] = {name: one.to(parameter.device) for name, one in moments.items()}
        _read_parts(path, best := _files(told, BEST), self.group)
        self.state, self.of_best, self.best = state, best, tensors_under("best.", tensors)
        self.latent_kl = list(tensors.get("latent_kl", ()))

    def complete(self, path: Path | None) -> None:
        """Put the weights of the best epoch together, the last one's without validation, and let the model have them.

        Every process of the run calls this and waits.
        """
        self.group.wait()
        if not self.of_best:
            self._keep()
        shapes = self._shapes()
        self._let_go()
        whole = {}
        if self.group.is_first:
            for file in self.of_best:
                fetch(self.path.with_name(file["name"]), self.group.storage)
            whole = {WEIGHTS: json.dumps(_join(self.path, self.of_best, self.best, shapes))}
            publish(_weights_path(self.path), self.group.storage)
        self._commit({}, **whole)
        fetch(_weights_path(self.path), self.group.storage)
        _map_into(self.model, _weights_at(self.path))
        self.group.wait()  # the first one may go on and remove the file

    def _keep(self) -> None:
        self.best = {name: tensor.detach().clone() for name, tensor in self._small().items()}
        name = f"best-{self.state.epoch}"
        self.of_best = self._write_parts(name, {f"model.{name}": table for name, table in self._tables().items()})

    def _commit(self, tensors: Mapping[str, Tensor], **further: Any) -> None:
        told = {name: value if isinstance(value, str) else json.dumps(value) for name, value in further.items()}
        group = self.group
        if group.is_first:
            kept = {f"best.{name}": value for name, value in self.best.items()}
            if self.latent_kl:
                kept["latent_kl"] = torch.stack(self.latent_kl)
            write_state(self.path, self.state, {**tensors, **kept}, **told)
            publish(self.path, group.storage)
        named = [file["name"] for name in (PARTS, BEST) for file in _files(told, name)]
        pattern = f"{self.path.stem}.*.part-*{self.path.suffix}"
        withdraw(named, pattern, self.path.parent, group.storage, is_first=group.is_first)
        group.wait()

    def _write_parts(self, name: str, tables: Mapping[str, Tensor]) -> Files:
        """Write what this process holds; returns the files of all processes."""
        rows = self.shards.part.length(self.shards.n_items)
        path = _part_of(self.path, name, self.group.rank, self.group.size)
        remove_partials(path)
        with atomic_file(path) as temporary:
            cut = {name: _as_array(table.detach()[:rows].cpu()) for name, table in tables.items()}
            digest = write_tensors(temporary, cut)
        publish(path, self.group.storage)
        digests = self.group.gather(torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8))
        return [
            {"name": _part_of(self.path, name, rank, self.group.size).name, "sha256": bytes(digest).hex()}
            for rank, digest in enumerate(digests.tolist())
        ]

    def _fill(self, table: Tensor, name: str, parts: Parts, others: int) -> None:
        """Copy this process's rows of a table from its parts of another number of processes."""
        rank, size = self.group.rank, self.group.size
        with torch.no_grad():
            for number, part in parts.items():
                place, every = (number // size, others // size) if others >= size else (0, 1)
                first, step = (0, 1) if others >= size else ((rank - number) // others, size // others)
                rows = _as_tensor(part[name][first::step])
                end = place + every * len(rows)
                table[place:end:every] = rows

    def _moment(self, index: int, name: str, parameter: Tensor, parts: Parts, others: int) -> Tensor:
        whole = f"adam.{index}.{name}"
        shape = next(iter(parts.values()))[whole].shape[1:]
        found = parameter.new_zeros(len(parameter), *shape, dtype=torch.float32)
        self._fill(found, whole, parts, others)
        return found

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def _is_table(self, parameter: Tensor) -> bool:
        return any(parameter is table for table in self.shards.tables)

    def _tables(self) -> dict[str, Tensor]:
        return {name: one for name, one in self.model.named_parameters() if self._is_table(one)}

    def _small(self) -> dict[str, Tensor]:
        tables = self._tables()
        return {name: tensor for name, tensor in self.model.state_dict().items() if name not in tables}

    def _let_go(self) -> None:
        """Give up the tables and their moments, which are on disk."""
        self.optimizer.state.clear()
        for table in self.shards.tables:
            table.data = table.data.new_empty(0)
        return_freed_memory()

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the whole tables."""
        return {name: (self.shards.n_items, *table.shape[1:]) for name, table in self._tables().items()}


def is_finished(path: Path) -> bool:
    """Whether a checkpoint is that of a complete run with shared-out tables."""
    try:
        with safe_open(path, framework="pt") as file:
            return WEIGHTS in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def take_finished(path: Path, model: Trainable, asked: RunState) -> tuple[RunState, list[Tensor]] | None:
    """Let a model have the weights of a run that is complete, mapped; returns its state and its `latent_kl`.

    Returns:
        None where it is not complete.

    Raises:
        CheckpointError: the checkpoint is of another run, or damaged.
    """
    state, tensors, told = read_state(path, asked)
    if WEIGHTS not in told:
        return None
    _check(_weights_path(path), _files(told, WEIGHTS)[0])
    _map_into(model, _weights_at(path))
    return state, list(tensors.get("latent_kl", ()))


def _part_of(path: Path, name: str, rank: int, size: int) -> Path:
    return path.with_name(f"{path.stem}.{name}.part-{rank}-of-{size}{path.suffix}")


def _weights_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.{WEIGHTS}{path.suffix}")


def _files(told: Mapping[str, str], name: str) -> Files:
    found: Files = json.loads(told.get(name, "[]"))
    return found


def _read_parts(path: Path, files: Files, group: Group) -> Parts:
    """The parts that hold rows of this process, checked and mapped."""
    found = {}
    for number, file in enumerate(files):
        if (number - group.rank) % min(group.size, len(files)):
            continue
        place = path.with_name(file["name"])
        try:
            fetch(place, group.storage)
            _check(place, file)
            found[number] = map_tensors(place)
        except (OSError, DataError) as error:
            raise _unreadable(path, error) from error
    return found


def _check(path: Path, file: Mapping[str, str]) -> None:
    try:
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error
    if digest != file["sha256"]:
        raise CheckpointError(
            f"Checkpoint {path} is damaged: its content does not have its checksum. Delete the folder to start over."
        )


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"Checkpoint {path} cannot be read: {error}. Delete the folder to start over.")


def _join(path: Path, files: Files, small: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> Files:
    """Write all weights into one file, block by block."""
    parts = [path.with_name(file["name"]) for file in files]
    tensors: dict[str, NDArray[Any] | Blocks] = {name: tensor.cpu().numpy() for name, tensor in small.items()}
    for name, shape in shapes.items():
        tensors[name] = Blocks(np.dtype(np.float32), shape, _interleaved(parts, f"model.{name}", shape))
    place = _weights_path(path)
    remove_partials(place)
    with atomic_file(place) as temporary:
        digest = write_tensors(temporary, tensors)
    return [{"name": place.name, "sha256": digest}]


def _interleaved(parts: Sequence[Path], name: str, shape: tuple[int, ...]) -> Iterator[NDArray[np.float32]]:
    """A table, block by block, from the files of its parts, of which no more than a block is mapped at a time."""
    for start in range(0, shape[0], BLOCK):
        block = np.empty((min(BLOCK, shape[0] - start), *shape[1:]), np.float32)
        first = start // len(parts)
        for number, path in enumerate(parts):
            own = block[number :: len(parts)]
            own[:] = _as_tensor(map_tensors(path)[name][first : first + len(own)]).float().numpy()
        yield block


def _as_array(tensor: Tensor) -> NDArray[Any]:
    """Numpy knows no bfloat16: those are written as the whole numbers of their bits."""
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _as_tensor(array: NDArray[Any]) -> Tensor:
    """What `_as_array` was given."""
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if tensor.dtype == torch.uint16 else tensor


def _weights_at(path: Path) -> dict[str, NDArray[Any]]:
    return map_tensors(_weights_path(path))


def _map_into(model: Trainable, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Replace the parameters of a model, of whatever shape they are."""
    for name, tensor in tensors.items():
        module, _, own = name.rpartition(".")
        setattr(model.get_submodule(module), own, nn.Parameter(torch.from_numpy(tensor)))
