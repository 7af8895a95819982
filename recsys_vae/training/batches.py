"""Batches: users in an order that seed and epoch alone decide, so that a resumed run takes the steps it had left."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from recsys_vae.data.signals import liked
from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.protocols import BoolArray, Int64Array
from recsys_vae.training.parallel import ALONE, Group

Examples: TypeAlias = Callable[[csr_array, csr_array | None], SparseRows]


@dataclass(frozen=True)
class Batch:
    """The users of one step, and those of them that this process takes.

    Attributes:
        rows: histories of this process's users, as the model takes them; never empty.
        share: fraction of the batch's users that they are. 0 where a batch has fewer users than there are processes:
            the process then looks at one of the others' users, and what it finds does not count.
        n_users: users of the whole batch.
    """

    rows: SparseRows
    share: float
    n_users: int


@dataclass(frozen=True, eq=False)
class LeafBatch:
    """The users of one step, cut into leaves (`leaves`).

    Attributes:
        leaves: those that this process takes.
        read: item rows of all users of the step, shape (nnz,) int64; some are repeated.
        n_users: users of the whole batch.
    """

    leaves: list[Batch]
    read: Tensor
    n_users: int


@dataclass(frozen=True, eq=False)
class Replay:
    """Whom an epoch has where it does not have everybody: some users always, and others by lot, drawn anew each epoch.

    Attributes:
        always: one flag a user, shape (n_users,).
        share: of the other users that an epoch has, 0 to 1.
    """

    always: BoolArray
    share: float


class Batches:
    """Splits the users with a history into batches, freshly shuffled each epoch.

    Args:
        interactions: may be signed, shape (n_users, n_items); users who like nothing are passed over, there is nothing
            to predict of them.
        batch_size: users a batch; the last one of an epoch may be smaller.
        seed: of the order.
        device: where the batches go.
        group: processes among which each batch is dealt out.
        metadata: what else is known of the users, shape (n_users, n_features); goes with their rows.
        replay: whom an epoch has; everybody when None.
        examples: rows and metadata of a batch as a model takes them (`Trainable.examples`); binarised when None.
    """

    def __init__(
        self,
        interactions: csr_array,
        batch_size: int,
        seed: int,
        device: torch.device,
        group: Group = ALONE,
        metadata: csr_array | None = None,
        replay: Replay | None = None,
        examples: Examples | None = None,
    ) -> None:
        self._interactions = interactions
        users: Int64Array = np.flatnonzero(np.diff(liked(interactions).indptr))
        is_drawn = np.zeros(len(users), dtype=np.bool_) if replay is None else ~replay.always[users]
        self._always, self._others = users[~is_drawn], users[is_drawn]
        self._n_drawn = math.ceil(replay.share * len(self._others)) if replay else 0
        self._batch_size = batch_size
        self._n_batches = math.ceil(self.n_users / batch_size)
        self._seed = seed
        self._device = device
        self._group = group
        self._metadata = metadata
        self._examples = examples if examples is not None else self._binary

    def __len__(self) -> int:
        """Batches an epoch."""
        return self._n_batches

    @property
    def n_users(self) -> int:
        """Users an epoch."""
        return len(self._always) + self._n_drawn

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Batches `start`, `start` + 1, ... of an epoch."""
        for users in self._users_of(number, start):
            yield self._dealt(users, self._group.rank, self._group.size)

    def in_leaves(self, number: int, start: int, own: range, count: int) -> Iterator[LeafBatch]:
        """The same, cut into `count` leaves; which users a leaf has does not depend on the processes.

        Args:
            own: numbers of the leaves that this process takes.
        """
        for users in self._users_of(number, start):
            read = torch.from_numpy(self._interactions[users].indices.astype(np.int64)).to(self._device)
            yield LeafBatch([self._dealt(users, leaf, count) for leaf in own], read, users.size)

    def _users_of(self, number: int, start: int) -> Iterator[Int64Array]:
        """Users of each batch from `start` on, ascending."""
        rng = np.random.default_rng([self._seed, number])
        drawn = rng.permutation(self._others)[: self._n_drawn]
        order = rng.permutation(np.concatenate([self._always, drawn]))
        for first in range(start * self._batch_size, len(order), self._batch_size):
            yield np.sort(order[first : first + self._batch_size])

    def _dealt(self, users: Int64Array, part: int, parts: int) -> Batch:
        """One of several parts of a batch."""
        own = users[part::parts]
        looked_at = own if own.size else users[:1]
        known = None if self._metadata is None else self._metadata[looked_at]
        rows = self._examples(self._interactions[looked_at], known)
        return Batch(rows, own.size / users.size, users.size)

    def _binary(self, histories: csr_array, metadata: csr_array | None) -> SparseRows:
        return SparseRows.from_csr(histories, self._device, metadata).binarised()
