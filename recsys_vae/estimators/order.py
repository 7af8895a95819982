"""Order as the estimators take it: a list has its own, a frame a column of times or positions, a split its matrices."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import csr_array, issparse

from recsys_vae.data.columns import ITEM, POSITION, TIMESTAMP, USER
from recsys_vae.data.ids import IdMap, as_series
from recsys_vae.data.interactions import Interactions
from recsys_vae.data.sequences import order_of_lists
from recsys_vae.estimators.inputs import Data, Histories
from recsys_vae.evaluation.entries import entry_rows
from recsys_vae.evaluation.ordered_splits import Events
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.frames import is_frame


def order_of_data(data: Data) -> Interactions | None:
    """Places in time of all pairs of a frame with a column `timestamp` or `position`; None of anything else."""
    if not is_frame(data):
        return None
    names = data.collect_schema().names() if isinstance(data, pl.LazyFrame) else list(data.columns)
    time = next((name for name in (TIMESTAMP, POSITION) if name in names), None)
    if time is None:
        return None
    events = Events.from_frame(data, user=USER, item=ITEM, time=time)
    return Interactions(events.places(np.ones(len(events), dtype=np.bool_)), events.users, events.items)


def order_of_histories(histories: Histories, items: IdMap) -> csr_array | None:
    """Order of histories in any form, over a catalogue, in the pattern that `as_histories` gives them.

    Lists of items are least recent first; None where the form says nothing of order.
    """
    if isinstance(histories, HeldOut):
        return histories.order
    if is_frame(histories):
        places = order_of_data(histories)
        return None if places is None else _over(places, items)
    if isinstance(histories, Interactions) or issparse(histories):
        return None
    if isinstance(histories, Mapping):
        users = IdMap.from_labels(as_series(list(histories))) if histories else IdMap.from_values([])
        order = np.argsort(users.find(list(histories)), kind="stable")
        lists: list[Any] = [list(list(histories.values())[place]) for place in order]
    else:
        lists = list(histories)
        if not lists or isinstance(lists[0], str | bytes) or not isinstance(lists[0], Iterable):
            lists = [lists]
    return order_of_lists([items.find(list(one)).tolist() if list(one) else [] for one in lists], len(items))


def _over(places: Interactions, items: IdMap) -> csr_array:
    columns = items.find(places.items.labels())[places.matrix.indices]
    known = columns >= 0
    cells = (entry_rows(places.matrix)[known], columns[known])
    order = csr_array((places.matrix.data[known], cells), shape=(places.n_users, len(items)), dtype=np.float32)
    order.sum_duplicates()
    return order
