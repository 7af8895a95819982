"""Columns: metadata of items as they are now: what a bundle holds, below what was changed about single items since.

A change touches one row. A column's rows that were changed lately are kept beside it, and put into it together: so a
change costs a look-up, and whoever evaluates a condition goes through the column as it was and then through these rows.
"""

from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from recsys_vae.data.columns import ITEM
from recsys_vae.data.features import SEPARATOR
from recsys_vae.protocols import BoolArray, Int64Array
from service.ranking.item_columns import READERS, as_comparable, element_type
from service.store.item_records import FLAG, NUMBER, NUMBERS, TEXT, TEXTS, FieldValue, kind_of

MOST_PENDING: Final = 512
"""Changed rows of a column that are kept beside it."""
LONGEST_LOG: Final = 100_000
"""Changes of a column that are remembered; who last looked before them looks at all rows again."""
TYPES: Final[Mapping[str, pl.DataType]] = {
    TEXT: pl.String(), NUMBER: pl.Float64(), FLAG: pl.Boolean(), TEXTS: pl.List(pl.String), NUMBERS: pl.List(pl.Float64)
}  # fmt: skip
"""Of columns that a bundle does not have, by the kind of their values."""


class Stamp(NamedTuple):
    """Up to where somebody knows a column: another `era` where all of it may have changed."""

    era: int
    place: int


OWN: Final = object()
"""Stands for what the bundle says."""


class FrozenColumn(NamedTuple):
    """A column as it was at one moment.

    Attributes:
        stale: all rows, but for a few.
        places: row of each of these -> its place in `values`.
        values: of these.
    """

    stale: pl.Series
    places: Mapping[int, int]
    values: pl.Series

    def gather(self, rows: Int64Array) -> pl.Series:
        """Some rows as they were."""
        found = self.stale.gather(rows)
        if not self.places:
            return found
        changed = [(place, self.places[row]) for place, row in enumerate(rows.tolist()) if row in self.places]
        places, at = np.array(changed, np.int64).reshape(-1, 2).T
        return _patched(found, places, self.values[at])

    def holds(self, values: Sequence[Any]) -> BoolArray:
        """Which rows had one of these values, or a list with one, shape (n_rows,)."""
        found = _hold(self.stale, values)
        if self.places:
            rows, at = np.array(list(self.places.items()), np.int64).T
            found[rows] = _hold(self.values, values)[at]
        return found


class Column:
    """One column; not safe to use from several threads.

    Args:
        base: as the bundle has it.
    """

    def __init__(self, base: pl.Series) -> None:
        self._merged = base
        self._base = base
        self._live: dict[int, FieldValue | None] = {}
        self._pending: dict[int, None] = {}
        self._log: list[int] = []
        self._former: list[Any] = []
        self._frozen: FrozenColumn | None = None
        self._era = 0

    @property
    def dtype(self) -> pl.DataType:
        """Of the values."""
        return self._merged.dtype

    @property
    def stamp(self) -> Stamp:
        """As of now."""
        return Stamp(self._era, len(self._log))

    @property
    def pending(self) -> Int64Array:
        """Rows that `stale` does not have as they are."""
        return np.fromiter(self._pending, np.int64, len(self._pending))

    @property
    def stale(self) -> pl.Series:
        """All rows, but for those that are pending."""
        if len(self._pending) > MOST_PENDING:
            self._merge()
        return self._merged

    def base_value(self, row: int) -> Any:
        """What the bundle says."""
        return self._base[row : row + 1].to_list()[0] if row < len(self._base) else None

    def changed_since(self, stamp: Stamp) -> list[int] | None:
        """Rows that were changed; None where all may be."""
        return self._log[stamp.place :] if stamp.era == self._era else None

    def put(self, row: int, value: FieldValue | None) -> None:
        """Have a row hold a value that fits, or none, whatever the bundle says."""
        if row in self._live and self._live[row] == value and type(self._live[row]) is type(value):
            return
        if self.dtype.is_integer() and isinstance(value, float | int) and not _holds(self.dtype, value):
            self._widen()
        self._note(row)
        self._live[row] = value

    def take_back(self, row: int) -> None:
        """Have a row hold what the bundle says."""
        if row in self._live:
            self._note(row)
            del self._live[row]

    def grow(self, n: int) -> None:
        """Be of n rows, the new ones without a value."""
        if n > len(self._merged):
            self._merged, self._frozen = self._merged.extend_constant(None, n - len(self._merged)), None

    def frozen(self) -> FrozenColumn:
        """All of it as it is now, whatever is changed later; the same object until then."""
        if self._frozen is None:
            stale, rows = self.stale, list(self._pending)
            self._frozen = FrozenColumn(stale, {row: place for place, row in enumerate(rows)}, self._typed(rows))
        return self._frozen

    def gather(self, rows: Int64Array) -> pl.Series:
        """Some rows as they are."""
        found = self._merged.gather(rows)
        changed = [place for place, row in enumerate(rows.tolist()) if row in self._pending]
        return _patched(found, np.array(changed, np.int64), self._typed([int(rows[place]) for place in changed]))

    def values(self, rows: Int64Array, as_of: Stamp | None = None) -> list[Any]:
        """The same as they were sent; as of a stamp, unless all of the column may have changed since."""
        stored = self.gather(rows).to_list()
        found = [self._live.get(row, value) for row, value in zip(rows.tolist(), stored, strict=True)]
        if as_of is None or as_of == self.stamp or as_of.era != self._era:
            return found
        newest_first = zip(reversed(self._log[as_of.place :]), reversed(self._former[as_of.place :]), strict=True)
        former = dict(newest_first)  # of several changes of a row, what was before the first
        return [
            self._before(row, former[row]) if row in former else value
            for row, value in zip(rows.tolist(), found, strict=True)
        ]

    def _before(self, row: int, former: Any) -> Any:
        return self.base_value(row) if former is OWN else former

    def _note(self, row: int) -> None:
        """Remember what a row holds, which is changed next."""
        self._frozen = None
        self._pending[row] = None
        self._log.append(row)
        self._former.append(self._live.get(row, OWN))
        if len(self._log) > LONGEST_LOG:
            self._forget()

    def _forget(self) -> None:
        self._log, self._former, self._era = [], [], self._era + 1

    def _merge(self) -> None:
        rows = list(self._pending)
        self._merged = _patched(self._merged, np.array(rows, np.int64), self._typed(rows))
        self._pending.clear()

    def _typed(self, rows: Sequence[int]) -> pl.Series:
        values = [_read(self._live[row], self.dtype) if row in self._live else self.base_value(row) for row in rows]
        return pl.Series(self._merged.name, values, dtype=self.dtype)

    def _widen(self) -> None:
        """Hold numbers that are not whole."""
        self._merged, self._base = self._merged.cast(pl.Float64), self._base.cast(pl.Float64)
        self._frozen = None
        self._forget()


class Columns:
    """All columns of a table, safe to use from several threads.

    Args:
        table: one row an item in row order; what requests can speak of of it, but for `item_id`.

    Attributes:
        own: names of the columns of the table, in their order.
        lock: held by whoever needs several columns as of one moment.
    """

    def __init__(self, table: pl.DataFrame) -> None:
        plain = ((name, as_comparable(table[name])) for name in table.columns if name != ITEM)
        self._columns = {name: Column(column) for name, column in plain if column is not None}
        self.n_rows = table.height
        self.own = dict.fromkeys(self._columns).keys()
        self.lock = RLock()

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    @property
    def types(self) -> dict[str, str]:
        """Type of each column, for people."""
        return {name: str(column.dtype) for name, column in list(self._columns.items())}

    @property
    def dtypes(self) -> dict[str, pl.DataType]:
        """Type of each column."""
        return {name: column.dtype for name, column in list(self._columns.items())}

    def misfit(self, name: str, value: FieldValue) -> str | None:
        """Why a value does not fit its column; None where it does, or where there is no such column yet."""
        if name not in self._columns or fits(value, self._columns[name].dtype):
            return None
        return f"column {name!r} holds {self._columns[name].dtype}, which {value!r} does not fit"

    def grow(self, n: int) -> None:
        """Be of n rows."""
        with self.lock:
            self.n_rows = max(n, self.n_rows)
            for column in self._columns.values():
                column.grow(self.n_rows)

    def have(self, values: Mapping[str, FieldValue | None]) -> None:
        """Have a column for each of these values, as far as its kind is known."""
        with self.lock:
            for name in values.keys() - self._columns.keys():
                value = values[name]
                kind = None if value is None else kind_of(value)
                if kind is not None:
                    self._columns[name] = Column(pl.Series(name, [None] * self.n_rows, dtype=TYPES[kind]))

    def put(self, row: int, values: Mapping[str, FieldValue | None]) -> list[str]:
        """Have one row hold these values and what the bundle says besides; the names of those that do not fit."""
        with self.lock:
            unfit = [name for name, value in values.items() if not self.takes(name, value)]
            self.have(values)
            for name, column in self._columns.items():
                if name in values and name not in unfit:
                    column.put(row, values[name])
                else:
                    column.take_back(row)
        return unfit

    def values(
        self, rows: Int64Array, names: Sequence[str], as_of: Mapping[str, Stamp] | None = None
    ) -> list[list[Any]]:
        """Values as they were sent, one list a name; nothing in columns that there are not."""
        stamps = as_of or {}
        with self.lock:
            return [
                self._columns[name].values(rows, stamps.get(name)) if name in self else [None] * len(rows)
                for name in names
            ]

    def takes(self, name: str, value: FieldValue | None) -> bool:
        """Whether a value fits its column, where there is one."""
        return value is None or name not in self._columns or fits(value, self._columns[name].dtype)


class Snapshot:
    """Some columns as they are now, whatever is changed later.

    Args:
        columns: which may change.
        names: of those that matter.
    """

    def __init__(self, columns: Columns, names: Sequence[str]) -> None:
        self._columns = columns
        self._names = names
        with columns.lock:
            self._stamps = {name: columns[name].stamp for name in names if name in columns}

    def values(self, rows: Int64Array) -> list[dict[str, Any]]:
        """As they were sent, one dictionary a row."""
        found = self._columns.values(rows, self._names, self._stamps)
        return [dict(zip(self._names, values, strict=True)) for values in zip(*found, strict=True)]


def fits(value: FieldValue, dtype: pl.DataType) -> bool:
    """Whether a value can be held by a column of a type."""
    return value == () or _read(value, dtype) is not None


def _read(value: FieldValue | None, dtype: pl.DataType) -> Any:
    """A value as a column has it; None where it does not fit."""
    if isinstance(dtype, pl.List):
        several = value.split(SEPARATOR) if isinstance(value, str) else value
        if not isinstance(several, tuple | list):
            return None
        kind = element_type(pl.Series(dtype=dtype))
        read = [_read(one, kind) for one in several]
        is_unfit = kind.is_integer() and any(one is not None and not _holds(kind, one) for one in read)
        return None if None in read or is_unfit else read
    if isinstance(value, tuple) or value is None:
        return None
    found = next((read(value) for is_of, read in READERS if is_of(dtype)), None)
    return int(found) if dtype.is_integer() and isinstance(found, float) and found.is_integer() else found


def _holds(kind: pl.DataType, value: float) -> bool:
    """Whether a type of whole numbers holds a number."""
    if not float(value).is_integer():
        return False
    return pl.Series([int(value)], dtype=pl.Int128).cast(kind, strict=False).null_count() == 0


def _hold(column: pl.Series, values: Sequence[Any]) -> BoolArray:
    """Which rows hold one of some values, shape (n,)."""
    if isinstance(column.dtype, pl.List):
        cells = pl.DataFrame({"row": np.arange(len(column)), "value": column}).explode("value")
        found = np.zeros(len(column), dtype=np.bool_)
        found[cells["row"].to_numpy()[_hold(cells["value"], values)]] = True
        return found
    one_of = column == values[0] if len(values) == 1 else column.is_in(pl.Series(values, dtype=column.dtype))
    return one_of.fill_null(value=False).to_numpy().astype(np.bool_)


def _patched(column: pl.Series, places: Int64Array, values: pl.Series) -> pl.Series:
    """A column with other values in some places."""
    if not len(places):
        return column
    order = np.arange(len(column))
    order[places] = len(column) + np.arange(len(places))
    return pl.concat([column, values])[order]
