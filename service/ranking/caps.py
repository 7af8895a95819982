"""Caps on the endpoint: what items count for, by their metadata as they are now; see `recsys_vae.reranking.caps`."""

from collections.abc import Sequence
from typing import Any

from recsys_vae.data.attributes import several
from recsys_vae.protocols import Int64Array
from recsys_vae.reranking.caps import Cap, Counts, Gate, Values
from service.ranking.filters import Filters

__all__ = ["Cap", "Counts", "Gate", "Values", "values_of"]

FIRST_POOL = 4
"""Best items that are looked at first, for each one wanted; where they do not suffice, `DEEPER` times as many."""
DEEPER = 4
LOOKED_AT = 1 / 250
"""Work of an item that is looked at, in plain requests."""


def values_of(filters: Filters, caps: Sequence[Cap], rows: Int64Array) -> list[Values]:
    """What items count for.

    Raises:
        FieldError: the items have no such column.
    """
    found: list[list[tuple[int, Any]]] = [[] for _ in range(len(rows))]
    for number, cap in enumerate(caps):
        cells = filters.values(cap.column, rows, f"body.at_most.{number}.column").to_list()
        for values, cell in zip(found, cells, strict=True):
            values += [(number, value) for value in several(cell)]
    return [tuple(values) for values in found]
