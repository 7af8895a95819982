"""Rules of re-ranking, as people write them: `3:brand`, `2:brand=Own`, `3:long-tail`, `genres:0.5`."""

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from recsys_vae.data.attributes import column_of, several
from recsys_vae.data.columns import POPULARITY
from recsys_vae.errors import ConfigError
from recsys_vae.protocols import BoolArray
from recsys_vae.reranking.caps import Cap
from recsys_vae.reranking.quotas import long_tail, untouched

LONG_TAIL, NEW = "long-tail", "new"
DEFAULT_STRENGTH = 0.5
_CONDITION = re.compile(r"(?P<column>[^=<>]+)(?P<op>>=|<=|=)(?P<value>.+)")


class Condition(NamedTuple):
    """What a group of items has in a column, as people write it: `brand=Own`, `year>=2024`, `price<=10`."""

    column: str
    op: str
    value: str


@dataclass(frozen=True)
class Quota:
    """At least `n` items of a list belong to a group.

    Attributes:
        n: items, at least 1.
        group: `long-tail`, `new`, or a condition on a column: `brand=Own`, `year>=2024`, `price<=10`.
    """

    n: int
    group: str

    def members(self, table: pl.DataFrame) -> BoolArray:
        """Which items belong to it, shape (n_items,).

        Args:
            table: a row an item in row order, with `popularity` and metadata.

        Raises:
            ConfigError, UnknownNameError: the group is not understood, or does not fit the column.
        """
        if self.group in (LONG_TAIL, NEW):
            popularity = table[POPULARITY].to_numpy()
            return long_tail(popularity) if self.group == LONG_TAIL else untouched(popularity)
        column, op, value = self.condition()
        return _fitting(column_of(table, column), op, value)

    def condition(self) -> Condition:
        """The condition on a column that the group is.

        Raises:
            ConfigError: it is none.
        """
        found = _CONDITION.fullmatch(self.group)
        if found is None:
            raise ConfigError(
                f"A quota of {self.group!r} is not understood. Write N:GROUP, GROUP being {LONG_TAIL}, {NEW}, or a "
                "condition such as brand=Own, year>=2024, price<=10."
            )
        return Condition(found["column"].strip(), found["op"], found["value"].strip())


@dataclass(frozen=True)
class Calibration:
    """Lists have the history's shares of a column's values.

    Attributes:
        column: of the items' metadata.
        strength: 0 for the order of the scores, 1 for calibration alone.
    """

    column: str
    strength: float = DEFAULT_STRENGTH


@dataclass(frozen=True)
class Rules:
    """What holds of a list: all of these.

    Attributes:
        caps: on how many items share a value.
        quotas: how many belong to a group.
        calibration: to the history; None for none.
    """

    caps: tuple[Cap, ...] = ()
    quotas: tuple[Quota, ...] = ()
    calibration: Calibration | None = None

    def __bool__(self) -> bool:
        return bool(self.caps or self.quotas or self.calibration)

    def __str__(self) -> str:
        told = [f"at most {cap.n} of one {cap.column}" for cap in self.caps]
        told += [f"at least {quota.n} of {quota.group}" for quota in self.quotas]
        if self.calibration is not None:
            told.append(f"calibrated {self.calibration.column} ({self.calibration.strength:g})")
        return ", ".join(told)


NO_RULES = Rules()


def parse_rules(at_most: list[str], at_least: list[str], calibrate: str | None) -> Rules:
    """The rules that options say.

    Args:
        at_most: caps, `N:COLUMN`.
        at_least: quotas, `N:GROUP`.
        calibrate: `COLUMN` or `COLUMN:STRENGTH`.

    Raises:
        ConfigError: one of them is written in another way.
    """
    caps = tuple(Cap(column, n) for n, column in (_numbered("--at-most", text, "3:brand") for text in at_most))
    quotas = tuple(Quota(n, group) for n, group in (_numbered("--at-least", text, "3:long-tail") for text in at_least))
    return Rules(caps, quotas, None if calibrate is None else _calibration(calibrate))


def _numbered(option: str, text: str, example: str) -> tuple[int, str]:
    number, _, rest = text.partition(":")
    if not number.isdecimal() or not int(number) or not rest.strip():
        raise ConfigError(f"{option} {text!r} is not understood. Write it as in {example}, with a number above 0.")
    return int(number), rest.strip()


def _calibration(text: str) -> Calibration:
    column, colon, strength = text.rpartition(":")
    if not colon:
        return Calibration(text)
    try:
        value = float(strength)
    except ValueError:
        value = float("nan")
    if not column or not 0 <= value <= 1:
        raise ConfigError(f"--calibrate {text!r} is not understood. Write COLUMN or COLUMN:STRENGTH, as in genres:0.5.")
    return Calibration(column, value)


def _fitting(column: pl.Series, op: str, text: str) -> BoolArray:
    if op == "=":
        return np.array([any(_same(value, text) for value in several(cell)) for cell in column.to_list()], np.bool_)
    if isinstance(column.dtype, pl.List) or not (column.dtype.is_numeric() or column.dtype.is_temporal()):
        raise ConfigError(
            f"Column {column.name!r} holds {column.dtype}, which has no order. Write {column.name}=VALUE."
        )
    bound = pl.Series([text]).cast(column.dtype, strict=False) if column.dtype.is_numeric() else _moment(text, column)
    if bound.null_count():
        raise ConfigError(f"{text!r} is no value of column {column.name!r}, which holds {column.dtype}.")
    inside = column >= bound[0] if op == ">=" else column <= bound[0]
    if column.dtype.is_float():
        inside &= column.is_not_nan()
    return np.asarray(inside.fill_null(value=False).to_numpy(), dtype=np.bool_)


def _moment(text: str, column: pl.Series) -> pl.Series:
    days = pl.Series([text]).str.to_date("%Y-%m-%d", strict=False)
    return days.cast(column.dtype, strict=False)


def _same(value: object, text: str) -> bool:
    if isinstance(value, bool):
        return str(value).lower() == text.lower()
    if isinstance(value, int | float):
        try:
            return float(text) == value
        except ValueError:
            return False
    return str(value) == text
