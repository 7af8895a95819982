"""Order: the places in time of a dataset's interactions, for models that go by them."""

import polars as pl
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.histories import ROWS_AT_ONCE, whole_users
from pipelines.dataset.matrices import encode_places, places_by
from recsys_vae.data.changed_tables import batches
from recsys_vae.data.columns import ITEM, POSITION, TIMESTAMP, USER
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import DataError
from recsys_vae.evaluation.splits import order_of


def read_order(dataset: DatasetDir) -> Interactions:
    """Places of all pairs.

    Raises:
        DataError: the dataset has no order.
    """
    return encode_places(dataset.events(), _order_columns(dataset))


def order_in(dataset: DatasetDir, matrix: csr_array, users: IdMap, items: IdMap) -> csr_array:
    """Places of interactions of a dataset, in the pattern of the matrix.

    Args:
        matrix: shape (len(users), len(items)), entries that the dataset has.

    Raises:
        DataError: the dataset has no order.
    """
    return order_of(matrix, users, items, read_order(dataset))


class OrderInShards:
    """The same of some users at a time, who come in ascending order of their ids; memory holds a shard of users.

    Raises:
        DataError: the dataset has no order.
    """

    def __init__(self, dataset: DatasetDir, rows_at_once: int = ROWS_AT_ONCE) -> None:
        events = dataset.events().select(USER, ITEM, TIMESTAMP, POSITION)
        self._by = _order_columns(dataset)
        self._shards = whole_users(batches(events, rows_at_once))
        self._held = events.clear().collect()

    @property
    def held_rows(self) -> int:
        """Events that are held for later users."""
        return self._held.height

    def of(self, matrix: csr_array, users: IdMap, items: IdMap) -> csr_array:
        """Places of interactions, in the pattern of the matrix.

        Args:
            matrix: shape (len(users), len(items)); of users who come after those of the last call, unless it is empty.
        """
        if not matrix.nnz:
            return matrix
        first, last = users.values[0], users.values[-1]
        self._read_to(last)
        user = pl.col(USER)
        events = self._held.filter(user.is_between(pl.lit(first), pl.lit(last)))
        self._held = self._held.filter(user > pl.lit(last))
        return order_of(matrix, users, items, encode_places(events.lazy(), self._by))

    def _read_to(self, user: str) -> None:
        while self._held.is_empty() or self._held[USER][-1] < user:
            shard = next(self._shards, None)
            if shard is None:
                return
            self._held = pl.concat([self._held, shard])


def _order_columns(dataset: DatasetDir) -> tuple[str, ...]:
    by = places_by(dataset.events())
    if by is None:
        raise DataError(
            f"Dataset {dataset.name!r} has no order: this model needs a timestamp or a position in its rows. Map the "
            "column of the log that holds it (--map timestamp=COLUMN) and ingest again, or choose another model."
        )
    return by
