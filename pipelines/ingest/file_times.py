"""File times: what the moments of a file look like, and what is odd about them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import polars as pl

from pipelines.ingest.times import Unit, count_units
from recsys_vae.dates import FIRST_YEAR

MICROSECONDS_A_DAY = 86_400_000_000
FAR_YEARS = 5
"""Years that a row lies from the middle half of all rows, at least, to be an outlier."""
FAR_SPANS = 3
"""The same in years that the middle half spans."""


@dataclass(frozen=True)
class FileTimes:
    """Times of one file that keep the contract.

    Attributes:
        unit: what its numbers count; None where times are no numbers.
        rows: how many have a time.
        first: the earliest.
        last: the latest.
    """

    unit: str | None
    rows: int
    first: datetime
    last: datetime

    def __str__(self) -> str:
        """For people."""
        counted = f", numbers in {self.unit}" if self.unit else ""
        return f"{_minute(self.first)} to {_minute(self.last)}{counted}"


@dataclass(frozen=True)
class TimeState:
    """What `TimeCounts` has counted, to be kept: unit, numbers by what they look like, range, rows, rows a year."""

    unit: str | None = None
    numbers: Mapping[str, int] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None
    rows: int = 0
    years: Mapping[int, int] = field(default_factory=dict)
    future: int = 0

    def without_last(self, times: pl.Series) -> "TimeState":
        """The same without the last of these times, which are those of the rows that were accepted."""
        time = times[-1] if len(times) else None
        if not isinstance(time, datetime):
            return self
        others = times[:-1]
        years = {**self.years, time.year: self.years.get(time.year, 1) - 1}
        first = others.min() if time == self.first else self.first
        last = others.max() if time == self.last else self.last
        future = self.future - (self.future > 0 and time == self.last)
        return TimeState(self.unit, self.numbers, first, last, self.rows - 1, years, future)  # type: ignore[arg-type]

    def joined(self, other: "TimeState") -> "TimeState":
        """Both together, of one file."""
        numbers, years = Counter(self.numbers), Counter(self.years)
        numbers.update(other.numbers)
        years.update(other.years)
        ends = [time for one in (self, other) for time in (one.first, one.last) if time is not None]
        return TimeState(
            self.unit or other.unit,
            dict(numbers),
            min(ends, default=None),
            max(ends, default=None),
            self.rows + other.rows,
            dict(years),
            self.future + other.future,
        )


class TimeCounts:
    """Counts times of a file block by block."""

    def __init__(self, unit: Unit | None = None) -> None:
        """`unit`: what the numbers are known to count."""
        self._known = unit
        self._counts: Counter[str] = Counter()
        self._first: datetime | None = None
        self._last: datetime | None = None
        self.unit = unit
        self.rows = 0
        self.years: Counter[int] = Counter()
        self.future = 0

    def look(self, raw: pl.Series) -> Unit | None:
        """Judge by the numbers of a block and those before it what the column counts, and read all alike."""
        if not raw.dtype.is_temporal():
            self._counts.update(count_units(raw))
            self.unit = self.unit or Unit.of(self._counts)
        return self.unit

    @property
    def other_unit(self) -> Unit | None:
        """The unit by which the file should have been read, now that all of it was seen; None: it was."""
        judged = Unit.of(self._counts)
        return judged if self._known is None and judged != self.unit else None

    def add(self, times: pl.Series, now: datetime) -> None:
        """Count the times of rows that keep the contract."""
        first, last = times.min(), times.max()
        if not isinstance(first, datetime) or not isinstance(last, datetime):
            return
        self.rows += len(times) - times.null_count()
        self._first, self._last = min(first, self._first or first), max(last, self._last or last)
        self.future += int((times > now).sum()) if last > now else 0
        if first.year == last.year:
            self.years[first.year] += len(times) - times.null_count()
        else:
            # By way of days: a division, where calendars take twenty times as long.
            days = times.drop_nulls().to_physical().to_numpy() // MICROSECONDS_A_DAY
            self.years.update(_by_year(np.bincount(days - days.min()), int(days.min())))

    def count_sure(self, unit: Unit, rows: int) -> None:
        """Count numbers of a block that are all of one unit, as `look` does."""
        self._counts[unit] += rows
        self.unit = self.unit or Unit.of(self._counts)

    def add_days(self, first: datetime, last: datetime, days: np.ndarray, first_day: int, future: int) -> None:
        """Count times as `add` does.

        Args:
            first: the earliest.
            last: the latest.
            days: rows of each day.
            first_day: the first of these, counted from 1970.
            future: rows later than now.
        """
        self.rows += int(days.sum())
        self._first, self._last = min(first, self._first or first), max(last, self._last or last)
        self.future += future
        self.years.update(_by_year(days, first_day))

    def state(self) -> "TimeState":
        """All that was counted."""
        unit = None if self.unit is None else self.unit.value
        return TimeState(unit, dict(self._counts), self._first, self._last, self.rows, dict(self.years), self.future)

    @classmethod
    def of(cls, state: "TimeState") -> "TimeCounts":
        """Counts that go on from a state."""
        found = cls()
        found.unit = None if state.unit is None else Unit(state.unit)
        found._counts, found._first, found._last = Counter(state.numbers), state.first, state.last
        found.rows, found.years, found.future = state.rows, Counter(state.years), state.future
        return found

    def file_times(self) -> FileTimes | None:
        """What was counted; None where no row has a time."""
        if self._first is None or self._last is None:
            return None
        unit = str(self.unit) if Unit.of(self._counts) else None
        return FileTimes(unit, self.rows, self._first, self._last)


def odd_times(counts: Sequence[TimeCounts]) -> tuple[str, ...]:
    """What is odd about the times of all files, in words: rows in the future, before 1990, and far from all others."""
    future = sum(one.future for one in counts)
    years: Counter[int] = Counter()
    for one in counts:
        years.update(one.years)
    this_year = datetime.now(UTC).year
    early = sum(rows for year, rows in years.items() if year < FIRST_YEAR)
    low, high = _usual(years)
    far = {year: rows for year, rows in years.items() if not low <= year <= high and FIRST_YEAR <= year <= this_year}
    said = []
    if future:
        said.append(f"{_rows(future)} in the future")
    if early:
        said.append(f"{_rows(early)} before {FIRST_YEAR}")
    if far:
        said.append(f"{_rows(sum(far.values()))} years from the others ({_some(far)})")
    return tuple(said)


def _by_year(counts: np.ndarray, first_day: int) -> dict[int, int]:
    """Rows a year, of rows a day."""
    there = np.flatnonzero(counts)
    years = (there + first_day).astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    found = np.unique(years)
    return {int(year): int(counts[there[years == year]].sum()) for year in found}


def _usual(years: Counter[int]) -> tuple[float, float]:
    """Years that are not far from those of the middle half of the rows."""
    if not years:
        return 0, 0
    low, high = (_quantile(years, share) for share in (0.25, 0.75))
    reach = max(FAR_YEARS, FAR_SPANS * (high - low))
    return low - reach, high + reach


def _quantile(years: Counter[int], share: float) -> int:
    wanted, seen = share * years.total(), 0
    for year in sorted(years):
        seen += years[year]
        if seen >= wanted:
            return year
    return max(years)


def _some(years: Iterable[int]) -> str:
    shown = sorted(years)
    return ", ".join(map(str, shown[:5])) + (" ..." if len(shown) > 5 else "")


def _minute(moment: datetime) -> str:
    """With four digits of the year, which formats by name do not give before the year 1000."""
    return moment.replace(tzinfo=None).isoformat(" ", "minutes")


def _rows(number: int) -> str:
    return "1 row lies" if number == 1 else f"{number:,} rows lie"
