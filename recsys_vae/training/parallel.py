"""Several processes, one training run: each takes a share of every batch, and the gradients are added up.

    torchrun --nproc-per-node 2 -m pipelines.cli train ...

A step is that of one process on the whole batch. A loss is a mean over users, so the loss of n_r of the batch's n users
counts n_r / n times, and the sum of the processes' gradients is the gradient of the whole batch. Every process then
takes the same optimizer step on its own copy of the weights. Whatever may differ between processes (a clock, Ctrl-C, a
measured value) is agreed upon before anybody acts on it. Small numbers and decisions travel between CPUs (gloo),
gradients between the devices that they are on (gloo or NCCL).
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import torch
from torch import Tensor, distributed, nn

from recsys_vae.errors import ConfigError, LostProcessError
from recsys_vae.training.device import choose_device

LARGE = 1 << 18
"""Numbers in a gradient from which on it travels by itself; smaller ones travel together."""


@dataclass(frozen=True)
class Group:
    """The processes of a run, as one of them sees them; by default there is one only, and nothing travels.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: number of this process on its machine.
        storage: address of a bucket for files that all are to see; empty where they have a folder in common.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    storage: str = ""

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes, tracks and shows."""
        return self.rank == 0

    def seed(self, seed: int) -> int:
        """Seed of this process's own noise; the first one's is the seed itself."""
        if self.is_first:
            return seed
        return int(np.random.SeedSequence([seed, self.rank]).generate_state(1, np.uint64)[0])

    def device(self, name: str) -> torch.device:
        """The device of that name; of several CUDA devices the one with this process's number.

        Raises:
            ConfigError: no such device here, or one that several processes cannot train on.
        """
        device = choose_device(name)
        if self.size == 1 or device.type == "cpu":
            return device
        if device.type != "cuda" or ":" in name:
            raise ConfigError(
                f"{self.size} processes cannot train on device {name!r} together. Use cpu, or cuda without a number: "
                "each process takes one device."
            )
        return choose_device(f"cuda:{self.local_rank}")

    def wait(self) -> None:
        """Go on when all processes are here."""
        self.add([0.0])

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """Of each flag, whether it is set in any process."""
        return [bool(count) for count in self.add([float(flag) for flag in flags])]

    def add(self, values: Sequence[float]) -> list[float]:
        """Sum of each value over the processes."""
        if self.size == 1:
            return list(values)
        sums = torch.tensor(values, dtype=torch.float64)
        with exchange():
            distributed.all_reduce(sums)
        return [float(total) for total in sums]

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes, of the same shape in each; shape (size, ...)."""
        if self.size == 1:
            return tensor.unsqueeze(0)
        gathered = [torch.empty_like(tensor) for _ in range(self.size)]
        with exchange():
            distributed.all_gather(gathered, tensor.contiguous())
        return torch.stack(gathered)

    def hand_out(self, numbers: Tensor, given: Sequence[int], taken: Sequence[int]) -> Tensor:
        """Give each process some of one's rows, and get those that every process gives to this one.

        Args:
            numbers: rows for all processes, those for the first one first, shape (sum(given), ...).
            given: how many of them are for each process.
            taken: how many come from each.

        Returns:
            What came, of the first process first, shape (sum(taken), ...).
        """
        if self.size == 1:
            return numbers
        found = numbers.new_empty(sum(taken), *numbers.shape[1:])
        with exchange():
            distributed.all_to_all_single(found, numbers.contiguous(), list(taken), list(given))
        return found

    def join_rows(self, rows: Tensor) -> Tensor:
        """Row numbers of all processes, shape (m,), one after the other; some are repeated, and 0 may come on top."""
        if self.size == 1:
            return rows
        longest = int(self.gather(torch.tensor(len(rows))).max())
        return self.gather(torch.cat([rows, rows.new_zeros(longest - len(rows))])).flatten() if longest else rows

    def share_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Give every process the first one's weights."""
        if self.size == 1:
            return
        with exchange():
            for tensor in weights.values():
                distributed.broadcast(tensor, src=0)

    def add_gradients(self, model: nn.Module) -> None:
        """Replace every gradient by its sum over the processes, sparse ones by sparse ones."""
        if self.size == 1:
            return
        learning = [parameter for parameter in model.parameters() if parameter.grad is not None]
        self.add_dense([p.grad for p in learning if p.grad is not None and not p.grad.is_sparse])
        for parameter in learning:
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = self._add_rows(parameter.grad.coalesce())

    def add_dense(self, gradients: Iterable[Tensor], among: "distributed.ProcessGroup | None" = None) -> None:
        """Replace dense gradients by their sums over the processes, all of them or some."""
        gradients = list(gradients)
        small = [gradient for gradient in gradients if gradient.numel() < LARGE]
        together = torch.cat([gradient.reshape(-1) for gradient in small]) if small else torch.empty(0)
        with exchange():
            under_way = [
                distributed.all_reduce(gradient, group=among, async_op=True)
                for gradient in (together, *(g for g in gradients if g.numel() >= LARGE))
            ]
            for work in under_way:
                work.wait()
        for gradient, total in zip(small, torch.split(together, [g.numel() for g in small]), strict=True):
            gradient.copy_(total.view_as(gradient))

    def _add_rows(self, gradient: Tensor) -> Tensor:
        parts = self.gather_rows(gradient)
        rows, values = (torch.cat(some) for some in zip(*parts, strict=True))
        return sparse_rows(rows, values, gradient.shape)

    def gather_rows(self, gradient: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Rows and values of every process's coalesced gradient; they name different rows, and so are padded."""
        counts = self.gather(torch.tensor(len(gradient.values()))).tolist()
        rows = gradient.indices().squeeze(0).new_zeros(max(counts))
        values = gradient.values().new_zeros(max(counts), *gradient.values().shape[1:])
        rows[: counts[self.rank]] = gradient.indices().squeeze(0)
        values[: counts[self.rank]] = gradient.values()
        everybody = zip(self.gather(rows), self.gather(values), counts, strict=True)
        return [(some[:n], their[:n]) for some, their, n in everybody]


def sparse_rows(rows: Tensor, values: Tensor, shape: torch.Size) -> Tensor:
    """A coalesced gradient: rows that occur twice are added up."""
    return torch.sparse_coo_tensor(rows.unsqueeze(0), values, shape, check_invariants=False).coalesce()


ALONE = Group()
"""One process, as without torchrun."""


@contextmanager
def join() -> Iterator[Group]:
    """The processes that torchrun has started together with this one; this one alone without torchrun.

    The connections are closed when the block ends without an error.

    Raises:
        LostProcessError: the others cannot be reached.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    # torch's optimizers import this module, whose functions keep the group of that moment as a default argument.
    # Imported once the group is there, it would keep gloo's threads until the interpreter goes down: SIGABRT at times.
    import_module("torch.distributed.nn.functional")
    with exchange():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    yield Group(distributed.get_rank(), size, int(os.environ.get("LOCAL_RANK", "0")))
    distributed.destroy_process_group()  # not after an error: the process ends, and with it what others wait for


@contextmanager
def exchange() -> Iterator[None]:
    """Say what a broken connection means."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        reason = re.sub(r"^\[\S*\] ", "", str(error)).partition(". ")[0]  # without gloo's own file and line
        raise LostProcessError(
            f"Another process of this run has ended or does not answer ({reason}). Its own message says why; --resume "
            "goes on from the last checkpoint."
        ) from error
