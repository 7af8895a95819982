"""Caps on the endpoint: what items count for, by their metadata; see `recsys_vae.reranking.caps`."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from recsys_vae.data.attributes import several
from recsys_vae.protocols import BoolArray, Int64Array
from recsys_vae.reranking.caps import Cap, Counts, Gate, Values
from service.ranking.live_columns import FrozenColumn

__all__ = ["Cap", "Counts", "Gate", "Values", "are_closed", "values_of"]

FIRST_POOL = 4
"""Best items that are looked at first, for each one wanted; where they do not suffice, `DEEPER` times as many."""
DEEPER = 4
LOOKED_AT = 1 / 250
"""Work of an item that is looked at, in plain requests."""


def values_of(columns: Mapping[str, FrozenColumn], caps: Sequence[Cap], rows: Int64Array) -> list[Values]:
    """What items count for, `columns` holding those of the caps."""
    found = [_of_cells(number, columns[cap.column].gather(rows).to_list()) for number, cap in enumerate(caps)]
    if len(found) == 1:
        return found[0]
    return [tuple(chain(*values)) for values in zip(*found, strict=True)] if found else [()] * len(rows)


def are_closed(columns: Mapping[str, FrozenColumn], caps: Sequence[Cap], counts: Counts, n_items: int) -> BoolArray:
    """Which items have a value that is full, so that no list goes on with them, shape (n_items,)."""
    closed = np.zeros(n_items, dtype=np.bool_)
    for number, cap in enumerate(caps):
        if full := counts.full(number):
            closed |= columns[cap.column].holds(full)
    return closed


def _of_cells(number: int, cells: list[Any]) -> list[Values]:
    """What cells of a cap's column count for; the same ones are looked at once."""
    known: dict[Any, Values] = {}
    found: list[Values] = []
    for cell in cells:
        key = tuple(cell) if isinstance(cell, list) else cell
        values = known.get(key)
        if values is None:
            values = known[key] = tuple((number, value) for value in several(cell))
        found.append(values)
    return found
