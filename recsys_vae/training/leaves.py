"""Leaves: steps whose result depends neither on how many processes take them nor on how many threads.

Every batch is cut into a fixed number of leaves, a power of two. A leaf is computed by one thread, with noise that
seed, epoch, step and the leaf's number decide, and gradients are added up in one binary tree:

    ((g_0 + g_1) + (g_2 + g_3)) + ((g_4 + g_5) + (g_6 + g_7))

A process has a whole subtree of it, and so has each of its threads; what lies above is added up between processes, pair
by pair. Sums of two numbers are the same in either order, so every process comes to the same bits, one process that
takes all leaves among them. Nothing of the noise goes on from step to step, so that a run may be resumed by another
number of processes.

It holds on CPUs of one kind with one version of torch: their products round alike.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from recsys_vae.errors import ConfigError
from recsys_vae.nn.objective import Likelihood
from recsys_vae.training.parallel import Group
from recsys_vae.training.subtree import Grown, LeafLoss, add, grow
from recsys_vae.training.tree_sum import TreeSum

Work = TypeVar("Work")
Done = TypeVar("Done")
LEAVES = 4
"""Leaves of a batch where several workers are asked for, and nothing else is said."""


@dataclass(frozen=True, eq=False)
class Leaves:
    """The leaves of a run, and those of them that this process takes.

    Attributes:
        count: leaves of every batch.
        seed: of all noise.
        group: the processes among which leaves are dealt out.
        device: of the model.
        tree: adds up over the processes.
        threads: leaves that are computed at a time, a power of two.
        pool: carries them out; None where one is computed after the other.
    """

    count: int
    seed: int
    group: Group
    device: torch.device
    tree: TreeSum
    threads: int = 1
    pool: Executor | None = None

    @property
    def own(self) -> range:
        """Numbers of this process's leaves."""
        each = self.count // self.group.size
        return range(self.group.rank * each, (self.group.rank + 1) * each)

    def noise(self, epoch: int, step: int, leaf: int | None = None) -> torch.Generator:
        """Source of a leaf's noise in a step; without a leaf, of what all leaves of the step have in common."""
        place = [self.seed, epoch, step, 0 if leaf is None else leaf + 1]
        seed = int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0])
        return torch.Generator(self.device).manual_seed(seed)

    def learn(
        self, model: nn.Module, losses: Sequence[LeafLoss], likelihood: Likelihood, *, joint: bool
    ) -> list[float]:
        """Let the parameters' gradients be those of a whole batch; returns its loss, nll and KL.

        Args:
            losses: of this process's leaves in their order.
            likelihood: that they are computed with.
            joint: whether the likelihoods may be computed together, see `subtree.may_join`.

        Raises:
            LostProcessError: another process of the group has ended.
        """
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        grown = self.grown(learning, losses, likelihood, joint=joint)
        found = self.tree.of(grown.gradients)
        for parameter, gradient in zip(learning, found, strict=False):
            parameter.grad = gradient
        for parameter, gradient in zip(grown.apart, found[len(learning) :], strict=True):
            parameter.grad = add(gradient, parameter.grad)
        return self.added(grown.figures)

    def grown(
        self, learning: Sequence[Tensor], losses: Sequence[LeafLoss], likelihood: Likelihood, *, joint: bool
    ) -> Grown:
        """What comes of this process's leaves, by its threads.

        Args:
            learning: what gradients are asked of; the rest as of `learn`.
        """
        each = len(losses) // self.threads
        parts = [losses[first : first + each] for first in range(0, len(losses), each)]
        grown = self.each(lambda some: grow(some, learning, likelihood, joint=joint), parts)
        sums = [one.gradients for one in grown]
        while len(sums) > 1:
            pairs = list(zip(sums[::2], sums[1::2], strict=True))
            sums = [self.each(lambda pair: add(*pair), list(zip(*pair, strict=True))) for pair in pairs]
        return Grown(sums[0], [row for one in grown for row in one.figures], grown[0].apart)

    def added(self, figures: Sequence[Sequence[float]]) -> list[float]:
        """Sums over all leaves of some numbers that this process has of each of its own; exact but for one rounding."""
        everybody = self.group.gather(torch.tensor(figures, dtype=torch.float64)).flatten(0, 1)
        return [math.fsum(column) for column in everybody.T.tolist()]

    def each(self, carry_out: Callable[[Work], Done], pieces: Sequence[Work]) -> list[Done]:
        """Carry out pieces of work, each in a thread of its own where there are any; results in the same order."""
        run = map if self.pool is None or len(pieces) < 2 else self.pool.map
        return list(run(carry_out, pieces))


def check_leaves(count: int, group: Group) -> None:
    """Raise ConfigError where leaves, unless there are none, cannot be dealt out evenly."""
    if count and (count % group.size or group.size & (group.size - 1)):
        raise ConfigError(
            f"{count} leaves cannot be dealt out to {group.size} processes: these are a power of two, and no more than "
            f"the leaves. Start {min(count, 1 << (group.size.bit_length() - 1))} of them."
        )


@contextmanager
def growing(count: int, seed: int, group: Group, device: torch.device) -> Iterator[Leaves | None]:
    """The leaves of a run, while torch computes with one thread for each; None where `count` is 0."""
    if not count:
        yield None
        return
    before = torch.get_num_threads()
    at_once = min(count // group.size, 1 << (before.bit_length() - 1)) if device.type == "cpu" else 1
    torch.set_num_threads(1)
    try:
        if at_once == 1:
            yield Leaves(count, seed, group, device, TreeSum(group))
            return
        with ThreadPoolExecutor(at_once, "leaf", torch.set_num_threads, (1,)) as pool:
            yield Leaves(count, seed, group, device, TreeSum(group), at_once, pool)
    finally:
        torch.set_num_threads(before)
