"""Filters: conditions on the metadata of items, evaluated as one mask over the catalogue. Parsed, never executed.

    Eq, In, Range      compare one column; an item without a value there, or with NaN, fits none of them
    And, Or, Not       combine conditions; Not is the plain complement: what does not fit, for whatever reason

Where a column holds lists, Eq and In ask whether any element fits.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from threading import Lock

import numpy as np
import polars as pl

from recsys_vae.data.columns import ITEM
from recsys_vae.protocols import BoolArray, Int64Array
from service.errors import FieldError
from service.ranking.item_columns import Value, as_comparable, element_type, fitting

CACHED_BYTES = 64 * 2**20
"""Room for masks, a byte an item each."""


@dataclass(frozen=True)
class Eq:
    """The column's value is this one."""

    column: str
    value: Value


@dataclass(frozen=True)
class In:
    """The column's value is one of these."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Range:
    """The column's value lies between these two, which belong to it; None for no bound."""

    column: str
    min: Value | None = None
    max: Value | None = None


@dataclass(frozen=True)
class And:
    """All of these hold."""

    of: "tuple[Condition, ...]"


@dataclass(frozen=True)
class Or:
    """At least one of these holds."""

    of: "tuple[Condition, ...]"


@dataclass(frozen=True)
class Not:
    """This does not hold."""

    of: "Condition"


Condition = Eq | In | Range | And | Or | Not


class Filters:
    """The metadata of a catalogue, and the masks that were asked for last.

    Args:
        table: one row an item in row order; every column but `item_id` can be asked for.
    """

    def __init__(self, table: pl.DataFrame) -> None:
        plain = ((name, as_comparable(table[name])) for name in table.columns if name != ITEM)
        self._columns = {name: column for name, column in plain if column is not None}
        self._n_items = table.height
        self._masks: OrderedDict[str, BoolArray] = OrderedDict()
        self._room = max(1, CACHED_BYTES // max(1, table.height))
        self._lock = Lock()

    @property
    def columns(self) -> dict[str, str]:
        """Type of each column, for people."""
        return {name: str(column.dtype) for name, column in self._columns.items()}

    def mask(self, condition: Condition, field: str = "filter") -> BoolArray:
        """Which items fit, shape (n_items,), not to be written to.

        Args:
            condition: what they have to fit.
            field: of the request, for errors.

        Raises:
            FieldError: a column does not exist, or a value is not of its type.
        """
        key = repr(condition)
        with self._lock:
            if key in self._masks:
                self._masks.move_to_end(key)
                return self._masks[key]
        found = self._evaluate(condition, field)
        found.flags.writeable = False
        with self._lock:
            self._masks[key] = found
            if len(self._masks) > self._room:
                self._masks.popitem(last=False)
        return found

    def values(self, name: str, rows: Int64Array, field: str) -> pl.Series:
        """What a column holds for some items.

        Raises:
            FieldError: there is no such column.
        """
        return self._column(name, field).gather(rows)

    def _evaluate(self, condition: Condition, field: str) -> BoolArray:
        match condition:
            case And(of):
                return reduce(np.logical_and, (self._evaluate(part, field) for part in of))
            case Or(of):
                return reduce(np.logical_or, (self._evaluate(part, field) for part in of))
            case Not(of):
                return ~self._evaluate(of, field)
            case Eq(column, value):
                return self._membership(column, (value,), field)
            case In(column, values):
                return self._membership(column, values, field)
            case Range(column, smallest, largest):
                return self._between(column, smallest, largest, field)

    def _membership(self, name: str, values: Sequence[Value], field: str) -> BoolArray:
        column = self._column(name, field)
        is_list = isinstance(column.dtype, pl.List)
        kind = element_type(column)
        read = [fitting(value, kind, name, field) for value in values]
        if kind.is_integer():  # what these cannot hold, such as 2.5, is no item's value
            wanted = pl.Series([int(value) for value in read if value == int(value)], dtype=pl.Int128)
            wanted = wanted.cast(kind, strict=False).drop_nulls()
        else:
            wanted = pl.Series(read, dtype=kind)
        if is_list:
            return _flags(column.list.eval(pl.element().is_in(wanted)).list.any())
        return _flags(column.is_in(wanted))

    def _between(self, name: str, smallest: Value | None, largest: Value | None, field: str) -> BoolArray:
        column = self._column(name, field)
        if isinstance(column.dtype, pl.List) or column.dtype == pl.Boolean:
            raise FieldError(field, f"column {name!r} holds {column.dtype}, which has no order; use eq or in")
        values = pl.lit(column)
        inside = values.is_not_null() & (values.is_not_nan() if column.dtype.is_float() else True)
        kind = column.dtype if column.dtype.is_float() else None
        if smallest is not None:
            inside &= values >= pl.lit(fitting(smallest, column.dtype, name, field), dtype=kind)
        if largest is not None:
            inside &= values <= pl.lit(fitting(largest, column.dtype, name, field), dtype=kind)
        return _flags(pl.select(inside).to_series())

    def _column(self, name: str, field: str) -> pl.Series:
        if name not in self._columns:
            known = ", ".join(f"{column} ({kind})" for column, kind in self.columns.items())
            raise FieldError(field, f"the items of the bundle in service have no column {name!r}; there are: {known}")
        return self._columns[name]


def _flags(column: pl.Series) -> BoolArray:
    return column.fill_null(value=False).to_numpy().astype(np.bool_)
