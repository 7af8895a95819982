"""Cold-start users of a dataset: held-out users with the order in which they came by their items."""

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import encode
from pipelines.dataset.user_features import UserMetadata
from recsys_vae.data.columns import ITEM, POSITION, TIMESTAMP, USER, WEIGHT
from recsys_vae.data.ids import IdMap
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.cold_start import ColdStartUsers
from recsys_vae.evaluation.splits import HeldOut


def cold_start_users_of(part: HeldOut, items: IdMap, known: UserMetadata) -> ColdStartUsers:
    """The users of a split's part, their shown items in order; their targets stay.

    Args:
        items: the split's catalogue.
        known: of the dataset that was split.
    """
    whole = places(known.dataset, part.users, items)
    shown = entries.pick(whole, entries.contains(part.histories, entries.entry_keys(whole)))
    described = known.of(part)
    return ColdStartUsers(part.users, ranked_by_row(shown), part.targets, described.metadata, part.dislikes)


def places(dataset: DatasetDir, users: IdMap, items: IdMap) -> csr_array:
    """The place of each item in its user's order, from 1, shape (n_users, n_items); other items are passed over.

    Rows of unknown order come last. Where no row of the dataset has any, the order is drawn, the same each time.
    """
    frame = dataset.interactions()
    known = frame.filter(pl.col(USER).is_in(users.values.implode()), pl.col(ITEM).is_in(items.values.implode()))
    table = known.select(USER, ITEM, POSITION, TIMESTAMP).collect(engine="streaming")
    if table[POSITION].null_count() == table[TIMESTAMP].null_count() == table.height:
        table = table.sort(USER, pl.struct(USER, ITEM).hash(seed=0))
    # The table is sorted by user and order as ingest writes it.
    place = (pl.int_range(pl.len()).over(USER) + 1).cast(pl.Float32)
    return encode(table.lazy().with_columns(place.alias(WEIGHT)), users, items).matrix


def ranked_by_row(matrix: csr_array) -> csr_array:
    """The same entries, each with the rank of its value within its row, from 1."""
    rows = entries.entry_rows(matrix)
    order = np.lexsort((matrix.data, rows))
    ranks = np.empty(matrix.nnz, dtype=np.float32)
    ranks[order] = np.arange(matrix.nnz) - matrix.indptr[rows] + 1
    return csr_array((ranks, matrix.indices, matrix.indptr), shape=matrix.shape)
