"""Cold start: the same users asked with nothing of their history, their first item, the first two ...

The targets are the same whatever the model is shown, so that figures at different lengths can be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_array, vstack

from recsys_vae.data.histories import binarise
from recsys_vae.data.ids import IdMap
from recsys_vae.errors import EmptyDataError
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.protocols import Int64Array

LENGTHS = (0, 1, 2, 3, 5, 10, 20)
"""Items of the history that are shown, one question each."""


@dataclass(frozen=True, eq=False)
class ColdStartUsers:
    """Held-out users whose histories have an order.

    Attributes:
        users: external ids of the rows.
        places: shape (n_users, n_items), each entry the place of an item in its user's history, from 1.
        targets: to be found; disjoint from the histories, same shape.
        metadata: what else is known, shape (n_users, n_features); None for nothing.
        dislikes: what is known to be disliked at any length, as in `HeldOut`.
    """

    users: IdMap
    places: csr_array
    targets: csr_array
    metadata: csr_array | None = None
    dislikes: csr_array | None = None

    @classmethod
    def after_the_first(
        cls, users: IdMap, places: csr_array, metadata: csr_array | None = None, *, shown: int, least: int
    ) -> "ColdStartUsers":
        """Cut whole histories: what comes after the first `shown` items is to be found.

        Args:
            places: of all items of the users.
            least: users with fewer items are left out.

        Raises:
            EmptyDataError: nobody has so many.
        """
        rows = np.flatnonzero(entries.row_lengths(places) >= least)
        if not rows.size:
            raise EmptyDataError(f"No held-out user has {least} items, so nobody can be asked as a cold-start user.")
        early = places.data <= shown
        histories, targets = entries.pick(places, early), binarise(entries.pick(places, ~early))
        return cls(users, histories, targets, metadata).take(rows)

    def take(self, rows: Int64Array) -> "ColdStartUsers":
        """Some of the users; `rows` ascending."""
        metadata, dislikes = (None if matrix is None else matrix[rows] for matrix in (self.metadata, self.dislikes))
        return ColdStartUsers(self.users.take(rows), self.places[rows], self.targets[rows], metadata, dislikes)

    def asked(self, length: int) -> HeldOut:
        """Everybody, shown their first `length` items, or all where they have fewer."""
        shown = entries.pick(self.places, self.places.data <= length)
        return HeldOut(self.users, binarise(shown), self.targets, self.metadata, dislikes=self.dislikes, order=shown)

    def asked_at_all(self, lengths: Sequence[int] = LENGTHS) -> HeldOut:
        """Everybody once a length, as if they were different users: one mean over lengths and users."""
        parts = [self.asked(length) for length in sorted(lengths)]
        ids = [f"{number:04} {user}" for number in range(len(parts)) for user in self.users.values]
        metadata, dislikes = (
            None if matrix is None else _stacked([matrix] * len(parts)) for matrix in (self.metadata, self.dislikes)
        )
        histories, targets = _stacked([p.histories for p in parts]), _stacked([p.targets for p in parts])
        order = _stacked([part.order for part in parts if part.order is not None])
        users = IdMap(pl.Series("id", ids, dtype=pl.String))
        return HeldOut(users, histories, targets, metadata, dislikes=dislikes, order=order)


def _stacked(parts: Sequence[csr_array]) -> csr_array:
    stacked = csr_array(vstack(parts, format="csr"), dtype=np.float32)
    stacked.has_canonical_format = True  # each part was
    return stacked
