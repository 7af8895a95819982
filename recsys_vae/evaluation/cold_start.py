"""Cold start: the same users asked with nothing of their history, their first item, the first two ...

Targets are everything after the first `shown` items, whatever part of these the model sees, so that figures at
different lengths can be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_array, vstack

from recsys_vae.errors import ConfigError, EmptyDataError
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.ids import IdMap
from recsys_vae.interactions import binarise, check_histories

LENGTHS = (0, 1, 2, 3, 5, 10, 20)
"""Items of the history that are shown, one question each."""


@dataclass(frozen=True, eq=False)
class Newcomers:
    """Held-out users whose items have an order.

    Attributes:
        users: external ids of the rows.
        places: shape (n_users, n_items), each entry the place of the item in its user's order, from 1.
        metadata: what else is known, shape (n_users, n_features); None for nothing.
        shown: items of which some are shown; what comes after is to be found.

    Raises:
        ConfigError: `shown` is below 0.
    """

    users: IdMap
    places: csr_array
    metadata: csr_array | None = None
    shown: int = 20

    def __post_init__(self) -> None:
        check_histories(self.places, self.places.shape[1])
        if self.shown < 0:
            raise ConfigError(f"shown is a number of items, at least 0; got {self.shown}.")

    def with_items(self, least: int) -> "Newcomers":
        """Only the users with so many items.

        Raises:
            EmptyDataError: nobody has.
        """
        rows = np.flatnonzero(entries.row_lengths(self.places) >= least)
        if not rows.size:
            raise EmptyDataError(f"No held-out user has {least} items, so nobody can be asked as a newcomer.")
        metadata = None if self.metadata is None else self.metadata[rows]
        return Newcomers(IdMap(self.users.values.gather(rows)), self.places[rows], metadata, self.shown)

    def asked(self, length: int) -> HeldOut:
        """Everybody, shown their first `length` items.

        Raises:
            ConfigError: that is more than may be shown.
        """
        if not 0 <= length <= self.shown:
            raise ConfigError(f"Of {self.shown} items that may be shown, {length} cannot be.")
        histories = binarise(entries.pick(self.places, self.places.data <= length))
        targets = binarise(entries.pick(self.places, self.places.data > self.shown))
        return HeldOut(self.users, histories, targets, self.metadata)

    def asked_at_all(self, lengths: Sequence[int] = LENGTHS) -> HeldOut:
        """Everybody once a length, as if they were different users: one mean over lengths and users."""
        parts = [self.asked(length) for length in sorted(lengths)]
        ids = [f"{number:04} {user}" for number in range(len(parts)) for user in self.users.values]
        metadata = None if self.metadata is None else _stacked([self.metadata] * len(parts))
        histories, targets = _stacked([p.histories for p in parts]), _stacked([p.targets for p in parts])
        return HeldOut(IdMap(pl.Series("id", ids, dtype=pl.String)), histories, targets, metadata)


def _stacked(parts: Sequence[csr_array]) -> csr_array:
    stacked = csr_array(vstack(parts, format="csr"), dtype=np.float32)
    stacked.has_canonical_format = True  # each part was
    return stacked
