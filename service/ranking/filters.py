"""Filters: conditions on the metadata of items, evaluated as one mask over the catalogue. Parsed, never executed.

    Eq, In, Range      compare one column; an item without a value there, or with NaN, fits none of them
    And, Or, Not       combine conditions; Not is the plain complement: what does not fit, for whatever reason

Where a column holds lists, Eq and In ask whether any element fits.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import polars as pl

from recsys_vae.protocols import BoolArray, Int64Array
from service.errors import FieldError
from service.ranking.item_columns import Value, element_type, fitting
from service.ranking.live_columns import MOST_PENDING, Column, Columns, FrozenColumn, Stamp

CACHED_BYTES = 64 * 2**20
"""Room for masks, a byte an item each."""
NO_ROWS: Int64Array = np.zeros(0, dtype=np.int64)


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


@dataclass(frozen=True)
class Held:
    """A mask that was asked for.

    Attributes:
        mask: which items fit.
        stamps: of the columns that it was made from.
        among: the other mask that it was last combined with, and what came of that.
    """

    mask: BoolArray
    stamps: dict[str, Stamp]
    among: "tuple[BoolArray, BoolArray] | None" = None


class Filters:
    """The metadata of a catalogue, and the masks that were asked for last.

    A mask that was made before some items were changed is mended in their places, and not made again.

    Args:
        table: one row an item in row order; every column but `item_id` can be asked for.

    Attributes:
        metadata: the columns, which change.
    """

    def __init__(self, table: pl.DataFrame) -> None:
        self.metadata = Columns(table)
        self._masks: OrderedDict[str, Held] = OrderedDict()
        self._room = max(1, CACHED_BYTES // max(1, table.height))

    @property
    def columns(self) -> dict[str, str]:
        """Type of each column, for people."""
        return self.metadata.types

    def mask(self, condition: Condition, field: str = "filter") -> BoolArray:
        """Which items fit, shape (n_items,), not to be written to.

        Args:
            condition: what they have to fit.
            field: of the request, for errors.

        Raises:
            FieldError: a column does not exist, or a value is not of its type.
        """
        with self.metadata.lock:
            return self._held(repr(condition), condition, field).mask

    def mask_among(self, condition: Condition, others: BoolArray, field: str = "filter") -> BoolArray:
        """The same, of those only that `others` has too; the same object while neither has changed."""
        with self.metadata.lock:
            key = repr(condition)
            held = self._held(key, condition, field)
            if held.among is None or held.among[0] is not others:
                both = held.mask & others
                both.flags.writeable = False
                held = self._masks[key] = replace(held, among=(others, both))
            assert held.among is not None
            return held.among[1]

    def _held(self, key: str, condition: Condition, field: str) -> Held:
        held = self._masks.get(key)
        if held is not None and self._is_current(held):
            self._masks.move_to_end(key)
            return held
        stamps = {name: self._column(name, field).stamp for name in dict.fromkeys(named_in(condition))}
        mask = self._made(condition, field, stamps) if held is None else self._mended(condition, field, held, stamps)
        mask.flags.writeable = False
        self._masks[key] = found = Held(mask, stamps)
        self._masks.move_to_end(key)
        if len(self._masks) > self._room:
            self._masks.popitem(last=False)
        return found

    def _is_current(self, held: Held) -> bool:
        # Rows that came since may have no value in these columns, and so no change of them.
        is_whole = len(held.mask) == self.metadata.n_rows
        return is_whole and all(self.metadata[name].stamp == stamp for name, stamp in held.stamps.items())

    def frozen(self, name: str, field: str) -> FrozenColumn:
        """A column as it is now, whatever is changed later.

        Raises:
            FieldError: there is no such column.
        """
        with self.metadata.lock:
            return self._column(name, field).frozen()

    def _made(self, condition: Condition, field: str, names: Iterable[str]) -> BoolArray:
        mask = self._evaluate({name: self.metadata[name].stale for name in names}, condition, field)
        pending = [self.metadata[name].pending for name in names]
        return self._mend(mask, np.unique(np.concatenate(pending)) if pending else NO_ROWS, condition, field, names)

    def _mended(self, condition: Condition, field: str, held: Held, names: Iterable[str]) -> BoolArray:
        changed: set[int] = set(range(len(held.mask), self.metadata.n_rows))
        for name in names:
            rows = self.metadata[name].changed_since(held.stamps[name])
            if rows is None:
                return self._made(condition, field, names)
            changed.update(rows)
        if len(changed) > MOST_PENDING:
            return self._made(condition, field, names)
        mask = np.zeros(self.metadata.n_rows, dtype=np.bool_)
        mask[: len(held.mask)] = held.mask
        return self._mend(mask, np.fromiter(changed, np.int64, len(changed)), condition, field, names)

    def _mend(
        self, mask: BoolArray, rows: Int64Array, condition: Condition, field: str, names: Iterable[str]
    ) -> BoolArray:
        if len(rows):
            columns = {name: self.metadata[name].gather(rows) for name in names}
            mask[rows] = self._evaluate(columns, condition, field)
        return mask

    def _evaluate(self, columns: Mapping[str, pl.Series], condition: Condition, field: str) -> BoolArray:
        match condition:
            case And(of):
                return reduce(np.logical_and, (self._evaluate(columns, part, field) for part in of))
            case Or(of):
                return reduce(np.logical_or, (self._evaluate(columns, part, field) for part in of))
            case Not(of):
                return ~self._evaluate(columns, of, field)
            case Eq(column, value):
                return _membership(columns[column], (value,), column, field)
            case In(column, values):
                return _membership(columns[column], values, column, field)
            case Range(column, smallest, largest):
                return _between(columns[column], smallest, largest, column, field)

    def _column(self, name: str, field: str) -> Column:
        if name not in self.metadata:
            known = ", ".join(f"{column} ({kind})" for column, kind in self.columns.items())
            raise FieldError(field, f"the items of the bundle in service have no column {name!r}; there are: {known}")
        return self.metadata[name]


def named_in(condition: Condition) -> Iterator[str]:
    """The columns that a condition speaks of."""
    match condition:
        case And(of) | Or(of):
            for part in of:
                yield from named_in(part)
        case Not(part):
            yield from named_in(part)
        case Eq(column) | In(column) | Range(column):
            yield column


def _membership(column: pl.Series, values: Sequence[Value], name: str, field: str) -> BoolArray:
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


def _between(column: pl.Series, smallest: Value | None, largest: Value | None, name: str, field: str) -> BoolArray:
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


def _flags(column: pl.Series) -> BoolArray:
    return column.fill_null(value=False).to_numpy().astype(np.bool_)
