"""Caps on the endpoint: what items count for, by their metadata; see `recsys_vae.reranking.caps`."""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys_vae.data.attributes import several
from recsys_vae.protocols import Int64Array
from recsys_vae.reranking.caps import Cap, Counts, Gate, Values
from service.ranking.live_columns import FrozenColumn

__all__ = ["Cap", "Counts", "Gate", "Values", "values_of"]

FIRST_POOL = 4
"""Best items that are looked at first, for each one wanted; where they do not suffice, `DEEPER` times as many."""
DEEPER = 4
LOOKED_AT = 1 / 250
"""Work of an item that is looked at, in plain requests."""


def values_of(columns: Mapping[str, FrozenColumn], caps: Sequence[Cap], rows: Int64Array) -> list[Values]:
    """What items count for, `columns` holding those of the caps."""
    found: list[list[tuple[int, Any]]] = [[] for _ in range(len(rows))]
    for number, cap in enumerate(caps):
        for values, cell in zip(found, columns[cap.column].gather(rows).to_list(), strict=True):
            values += [(number, value) for value in several(cell)]
    return [tuple(values) for values in found]
