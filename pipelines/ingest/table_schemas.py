"""The contract of every table: what a column holds, how it is read from a raw log, and which rows break it.

A `Table` is a list of `Column`s. `Table.filter` divides a raw frame into the rows that keep the contract, typed, and
those that break it, as they were found and with a reason. Everything is lazy and works row by row, so it streams.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from pipelines.ingest import value_parsers
from pipelines.ingest.times import Unit
from recsys_vae.data import columns as c
from recsys_vae.data.ids import is_id
from recsys_vae.errors import SchemaError

INGEST_KEYS = ("file", "row")
"""Where a row came from: number of its log file, from 0, and its place in that file, from 0 (a header not counted)."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: as written in `recsys_vae.data.columns`.
        dtype: on disk.
        read: raw column, whatever its type, to `dtype`; null where a value cannot be read.
        kind: what `read` expects, in words that end the sentence "NAME is not ...".
        why: of a raw text that cannot be read, a reason that says more than `kind`, in words that end the sentence
            "NAME is ..."; null where there is none.
        required: a null or a missing column breaks the contract.
        holds: what must be true of a value that was read.
        broken: what is wrong where `holds` is not true, in words that end the sentence "NAME is ...".
    """

    name: str
    dtype: pl.DataType
    read: Callable[[pl.Expr, pl.DataType], pl.Expr]
    kind: str
    why: Callable[[pl.Expr], pl.Expr] | None = None
    required: bool = False
    holds: Callable[[pl.Expr], pl.Expr] | None = None
    broken: str = ""

    def reason(self) -> pl.Expr:
        """Why this column breaks the contract in a row, else null; reads the columns that `Table.assess` makes."""
        raw, value = pl.col(_raw(self.name)), pl.col(self.name)
        kind = pl.lit(f"not {self.kind}")
        words = kind if self.why is None else pl.coalesce(self.why(raw), kind)
        broken = [(raw.is_not_null() & value.is_null(), words)]
        if self.required:
            broken.append((raw.is_null(), pl.lit("missing")))
        if self.holds is not None:
            broken.append((~self.holds(value), pl.lit(self.broken)))
        return pl.coalesce([pl.when(test).then(pl.format(f"{self.name} is {{}}", words)) for test, words in broken])

    def breaks(self, found: pl.Schema) -> pl.Expr | None:
        """Whether this column breaks the contract in a row that `Table.read` makes, without the words; None: never."""
        raw, value = pl.col(_raw(self.name)), pl.col(self.name)
        tests = []
        if self.name in found:
            given = (raw != "").fill_null(False) if found[self.name] == pl.String else raw.is_not_null()
            tests.append(given & value.is_null())
        if self.required:
            tests.append(value.is_null())
        if self.holds is not None and self.name in found:
            tests.append((~self.holds(value)).fill_null(False))
        return pl.any_horizontal(tests) if tests else None


@dataclass(frozen=True)
class FilterResult:
    """A frame divided by a contract.

    Attributes:
        good: the rows that keep it, typed.
        bad: the rows that break it, every value as the text that was found, with a `reason`.
    """

    good: pl.LazyFrame
    bad: pl.LazyFrame


@dataclass(frozen=True)
class Table:
    """The contract of one table."""

    name: str
    columns: tuple[Column, ...]

    @property
    def schema(self) -> pl.Schema:
        """Names and types on disk."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def filter(self, frame: pl.LazyFrame) -> FilterResult:
        """Divide a raw frame; columns that the contract does not name are left out, except `file` and `row`.

        Raises:
            SchemaError: a required column is missing, or a column is nested.
        """
        return self.divide(self.assess(frame))

    def assess(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Read every column and name the first broken promise of each row in `reason`; all rows are kept."""
        found = frame.collect_schema()
        self._check_columns(found)
        raw = [self._raw_column(column, found) for column in self.columns]
        read = [self._read_column(column, found) for column in self.columns]
        keys = [name for name in INGEST_KEYS if name in found]
        reason = pl.coalesce([column.reason() for column in self.columns]).alias(c.REASON)
        return frame.select(*keys, *raw, *read).with_columns(reason)

    def read(self, frame: pl.LazyFrame, known: Mapping[str, pl.Series] | None = None) -> pl.LazyFrame:
        """Read every column; `reason` is null or, in rows that break the contract, no more than not null.

        It is `assess` without what is needed for words: for the many rows that keep the contract.

        Args:
            known: columns that have been read already, in types of their own; nulls break the contract where they are
                required.
        """
        known = known or {}
        found = frame.collect_schema()
        columns = [column for column in self.columns if column.name not in known]
        self._check_columns(found, known)
        keys = [name for name in INGEST_KEYS if name in found]
        raw = [pl.col(column.name).alias(_raw(column.name)) for column in columns if column.name in found]
        read = [known.get(column.name, self._read_column(column, found)) for column in self.columns]
        broken = [test for column in columns if (test := column.breaks(found)) is not None]
        broken += [pl.col(column.name).is_null() for column in self.columns if column.name in known and column.required]
        reason = pl.when(pl.any_horizontal(broken)).then(pl.lit("broken")).alias(c.REASON)
        whole = frame.select(*keys, *raw, *read).with_columns(reason)
        return whole.drop(_raw(column.name) for column in columns if column.name in found)

    def divide(self, assessed: pl.LazyFrame) -> FilterResult:
        """Divide what `assess` returned."""
        known = assessed.collect_schema().names()
        keys = [name for name in INGEST_KEYS if name in known]
        raw = [pl.col(_raw(column.name)).alias(column.name) for column in self.columns]
        good = assessed.filter(pl.col(c.REASON).is_null()).drop(*(_raw(x.name) for x in self.columns), c.REASON)
        return FilterResult(good, assessed.filter(pl.col(c.REASON).is_not_null()).select(*raw, *keys, c.REASON))

    def check(self, frame: pl.LazyFrame) -> None:
        """Check a frame that should already be in its final form.

        Raises:
            SchemaError: names or types differ.
        """
        self.check_types(frame.collect_schema())

    def check_types(self, found: Mapping[str, pl.DataType]) -> None:
        """Check names and types of a frame, likewise."""
        if pl.Schema(found) != self.schema:
            raise SchemaError(f"Table {self.name!r} holds {dict(found)}, expected {dict(self.schema)}.")

    def _check_columns(self, found: pl.Schema, known: Collection[str] = ()) -> None:
        for column in self.columns:
            if column.required and column.name not in found and column.name not in known:
                raise SchemaError(
                    f"Table {self.name!r} needs a column {column.name!r}. Columns found: {', '.join(found)}."
                )
            if column.name in found:
                check_type(column.name, found[column.name])

    def _raw_column(self, column: Column, found: pl.Schema) -> pl.Expr:
        if column.name not in found:
            return pl.lit(None, dtype=pl.String).alias(_raw(column.name))
        return value_parsers.as_text(pl.col(column.name), found[column.name]).alias(_raw(column.name))

    def _read_column(self, column: Column, found: pl.Schema) -> pl.Expr:
        if column.name not in found:
            return pl.lit(None, dtype=column.dtype).alias(column.name)
        return column.read(pl.col(column.name), found[column.name]).alias(column.name)


def check_type(name: str, dtype: pl.DataType) -> None:
    """Raise SchemaError where a column of such a type holds no plain values of the kind that is wanted."""
    if dtype.is_nested():
        wrong, wanted = f"{dtype}", "one plain value a row. Flatten it first"
    elif dtype == pl.Binary:
        wrong, wanted = "bytes that are no text", "ids as text. Write them as text or numbers, as with hex(x) in SQL"
    elif name == c.TIMESTAMP and dtype in (pl.Time, pl.Duration):
        wrong, wanted = (
            f"{dtype}, which is no moment",
            "dates, times with a date, or epochs. Put date and time together",
        )
    else:
        return
    raise SchemaError(f"Column {name!r} holds {wrong}; expected {wanted}, or map another column.")


def _raw(name: str) -> str:
    return f"raw {name}"


def in_range(weight: pl.Expr) -> pl.Expr:
    """Whether a weight, Float32, is one that an interaction may have; see `recsys_vae.data.columns`."""
    least, greatest = (pl.lit(bound, dtype=pl.Float32) for bound in (c.LEAST_WEIGHT, c.GREATEST_WEIGHT))
    return weight.is_between(least, greatest)


OUT_OF_RANGE = f"not a number from {c.LEAST_WEIGHT:f} to {c.GREATEST_WEIGHT:g}"
"""In words that end the sentence "weight is ..."."""


NO_ID = f"longer than {c.LONGEST_ID:,} characters, or holds NUL"
USER = Column(c.USER, pl.String(), value_parsers.read_id, "an id", required=True, holds=is_id, broken=NO_ID)
ITEM = Column(c.ITEM, pl.String(), value_parsers.read_id, "an id", required=True, holds=is_id, broken=NO_ID)

INTERACTIONS = Table(
    "interactions",
    (
        USER,
        ITEM,
        Column(c.EVENT_TYPE, pl.String(), value_parsers.as_text, "a text"),
        Column(
            c.WEIGHT,
            pl.Float32(),
            value_parsers.read_number,
            "a number",
            holds=in_range,
            broken=OUT_OF_RANGE,
        ),
        Column(
            c.TIMESTAMP,
            pl.Datetime("us", "UTC"),
            value_parsers.read_time,
            "a time (ISO 8601 or epoch)",
            value_parsers.why_no_time,
            holds=lambda value: value.is_between(c.EARLIEST, c.LATEST),
            broken="not a time of the years 1 to 9999",
        ),
        Column(c.POSITION, pl.UInt32(), value_parsers.read_count, "a whole number from 0"),
    ),
)


def judged(unit: Unit | None, *, returns: bool = False, prefixes: Mapping[str, str] | None = None) -> Table:
    """`INTERACTIONS` of one file: its numbers count `unit`, weights may be negative where there are returns, ids leave
    room for the prefixes that they get, and those of texts are left as they are, to be judged at the end with those of
    all files.
    """  # fmt: skip
    read = {
        c.USER: partial(value_parsers.read_id, without_zeros=False),
        c.ITEM: partial(value_parsers.read_id, without_zeros=False),
        c.TIMESTAMP: partial(value_parsers.read_time, unit=unit),
    }
    holds: dict[str, Callable[[pl.Expr], pl.Expr]] = {
        name: partial(is_id, longest=c.LONGEST_ID - len(prefix)) for name, prefix in (prefixes or {}).items()
    }
    if returns:
        holds[c.WEIGHT] = lambda weight: in_range(weight.abs())
    why = {c.TIMESTAMP: partial(value_parsers.why_no_time, unit=unit)}
    columns = [
        replace(
            one,
            read=read.get(one.name, one.read),
            why=why.get(one.name, one.why),
            holds=holds.get(one.name, one.holds),
        )
        for one in INTERACTIONS.columns
    ]
    return replace(INTERACTIONS, columns=tuple(columns))


GIVEN_TEST = Table("given_test", (USER, ITEM))
DROPPED_ROWS = Table(
    "losses",
    (
        Column("entity", pl.String(), value_parsers.as_text, "`user` or `item`", required=True),
        Column("id", pl.String(), value_parsers.read_id, "an id", required=True),
        Column("rule", pl.String(), value_parsers.as_text, "a text", required=True),
        Column("rows", pl.UInt32(), value_parsers.read_count, "a count", required=True),
    ),
)
