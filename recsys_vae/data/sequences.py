"""Sequences: histories in the order of time.

`order` stands beside histories: a matrix of the same pattern whose data are the places in time, above 0, the least
recent the smallest. A model that goes by order reads `chronological(histories, order)`: the same entries, those of
each row from the least recent to the latest. Such a matrix is not canonical: no product of it is asked for.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.signals import Evidence
from recsys_vae.errors import DataError


def chronological(histories: csr_array, order: csr_array | None) -> csr_array:
    """Histories whose entries stand in the order of time, row by row; shape and weights as before.

    Args:
        histories: canonical, shape (n, n_items).
        order: their places; entries of one place stand by item row.

    Raises:
        DataError: there are histories and no order, or one of another pattern.
    """
    if order is None:
        if histories.nnz:
            raise DataError(
                "This model goes by the order of histories, and there is none: the dataset needs a timestamp or a "
                "position in its rows. Map one (--map timestamp=COLUMN), ingest and split again, or choose another "
                "model."
            )
        return histories
    check_order(order, histories)
    rows = np.repeat(np.arange(histories.shape[0]), np.diff(histories.indptr))
    # The sort is stable: entries of one place stay by item row.
    by_time = np.lexsort((order.data, rows))
    ordered = (histories.data[by_time], histories.indices[by_time], histories.indptr)
    return csr_array(ordered, shape=histories.shape)


def check_order(order: csr_array, histories: csr_array) -> None:
    """Check that an order is that of some histories.

    Raises:
        DataError: it has another pattern, or a place that is not finite and above 0.
    """
    same = order.shape == histories.shape and order.nnz == histories.nnz
    same = same and np.array_equal(order.indptr, histories.indptr) and np.array_equal(order.indices, histories.indices)
    if not same:
        raise DataError(
            f"An order has the pattern of its histories; got {order.nnz} places of shape {order.shape} for "
            f"{histories.nnz} entries of shape {histories.shape}, or places elsewhere."
        )
    if order.nnz and not (order.data.min() > 0 and np.isfinite(order.data).all()):
        raise DataError("Places in time are finite numbers above 0, the least recent the smallest.")


def places_matrix(evidence: Evidence, shape: tuple[int, int]) -> csr_array:
    """Places of pairs as a matrix, float32 (exact up to 16,777,216 events a user)."""
    order = csr_array((evidence.places.astype(np.float32), (evidence.users, evidence.items)), shape=shape)
    order.sum_duplicates()
    return order


def order_of_lists(rows: Sequence[Sequence[int]], n_items: int) -> csr_array:
    """Places of items listed least recent first, one list a user; of an item that is listed twice, the later place.

    Args:
        rows: item rows of each user; -1 for one that the catalogue does not hold, which is left out.
        n_items: width of the catalogue.
    """
    latest = [{item: place for place, item in enumerate(items, 1) if item >= 0} for items in rows]
    lengths = [len(places) for places in latest]
    columns = np.fromiter((item for places in latest for item in sorted(places)), np.int64, sum(lengths))
    data = np.fromiter((places[item] for places in latest for item in sorted(places)), np.float32, sum(lengths))
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return csr_array((data, columns, indptr), shape=(len(latest), n_items))
