"""Times: what a column of moments may hold, and how it is read.

A number alone does not say whether it counts seconds or milliseconds; the numbers of a whole column do. So
`count_units` counts what numbers look like, `Unit.of` judges by the counts of a whole file, and `read_times` reads
every number of the column by that one unit. Texts say themselves what they are.

Sources of the texts: ISO 8601:2004 (calendar, week and ordinal dates, basic and extended; times of reduced accuracy
and with a decimal fraction; offsets), PostgreSQL's default output (`2023-01-15 10:00:00+00`), BigQuery's
(`2019-10-01 00:00:00 UTC`), and C's asctime with an offset, as Twitter's API wrote it
(`Tue Apr 03 18:00:09 +0000 2012`).
"""

from collections.abc import Mapping
from enum import StrEnum

import polars as pl

from recsys_vae.data.columns import EARLIEST, LATEST
from recsys_vae.dates import DATE_FORMATS, FIRST_YEAR, LAST_YEAR, NO_EPOCHS

UTC_MICROSECONDS = pl.Datetime("us", "UTC")
SMALL = "small"
"""Count of numbers that are evidence of no unit: 0 and the like, which stand for no time in columns of any unit."""
SMALLEST = 1e8
SAMPLE = 100


class Unit(StrEnum):
    """What the numbers of a column count."""

    DATES = "calendar dates"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    MICROSECONDS = "microseconds"
    NANOSECONDS = "nanoseconds"

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> "Unit | None":
        """The unit that most numbers look like, the first in a tie; seconds where all are small; None without any."""
        best = max(cls, key=lambda unit: counts.get(unit, 0))
        if counts.get(best):
            return best
        return cls.SECONDS if counts.get(SMALL) else None


EPOCHS = {
    Unit.SECONDS: (SMALLEST, 1e11),
    Unit.MILLISECONDS: (1e11, 1e14),
    Unit.MICROSECONDS: (1e14, 1e17),
    Unit.NANOSECONDS: (1e17, 1e19),
}
"""Unit -> (from this magnitude, below this magnitude): epochs of 1973 to 5138."""
SURE = {
    Unit.SECONDS: (10**8, 10**11),
    Unit.MILLISECONDS: (10**12, 10**13),
    Unit.MICROSECONDS: (10**15, 10**16),
    Unit.NANOSECONDS: (10**18, 10**19),
}
"""Likewise, where no date has as many digits."""
MICROSECONDS_A_UNIT = {Unit.SECONDS: 1e6, Unit.MILLISECONDS: 1e3, Unit.MICROSECONDS: 1.0, Unit.NANOSECONDS: 1e-3}

FAST_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%.f", "%+")
"""Forms that are read before the pattern below, which reads all of them and is slower."""
_ISO = (
    r"^(?:(?P<year>\d{4})-(?P<month>\d\d)(?:-(?P<day>\d\d))?|(?P<digits>\d{8})"
    r"|(?P<week>\d{4}-?W\d\d-?[1-7])|(?P<ordinal>\d{4}-?\d{3}))"
    r"(?:[Tt ](?P<hour>[01]\d|2[0-4])(?::?(?P<minute>[0-5]\d)(?::?(?P<second>[0-5]\d|60))?)?(?P<fraction>[.,]\d+)?"
    r" ?(?:[Zz]|UTC|GMT"
    r"|(?P<sign>[+\-\x{2212}])(?P<hours>\d\d)(?::?(?P<minutes>[0-5]\d)(?::?(?P<seconds>[0-5]\d))?)?)?)?$"
)
_ASCTIME = r"^[A-Z][a-z]{2} ([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d) ([+-]\d{4}|UTC|GMT) (\d{4})$"


def count_units(values: pl.Series) -> dict[str, int]:
    """How many numbers of a column look like which unit, and how many are `small`; texts count for nothing."""
    if (unit := _plain_unit(values)) is not None:
        return {unit: values.len() - values.null_count()}
    number = pl.col("number").abs()
    looks = {unit: number.is_between(low, high, closed="left") for unit, (low, high) in EPOCHS.items()}
    is_date = _has_digits_of_dates(number)
    counts = {unit: (test & ~is_date).sum() for unit, test in looks.items()} | {Unit.DATES: is_date.sum()}
    small = ((number < SMALLEST) & ~is_date).sum()
    table = pl.DataFrame({"number": _numbers(values)}).filter(number.is_finite())
    return table.select(small.alias(SMALL), **{str(unit): count for unit, count in counts.items()}).row(0, named=True)


def read_times(values: pl.Series, unit: Unit | None = None) -> pl.Series:
    """Times in UTC, microseconds; null where a value is none.

    Args:
        values: dates, datetimes, numbers, or texts of any of these.
        unit: what numbers count; that of the numbers themselves when None.
    """
    dtype = values.dtype
    if isinstance(dtype, pl.Datetime):
        known = values if dtype.time_zone else values.dt.replace_time_zone("UTC")
        return known.cast(UTC_MICROSECONDS, strict=False)
    if dtype == pl.Date:
        return values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    unit = unit or Unit.of(count_units(values)) or Unit.SECONDS
    if unit != Unit.NANOSECONDS and _plain_unit(values) == unit:
        return (values.cast(pl.Int64) * int(MICROSECONDS_A_UNIT[unit])).cast(UTC_MICROSECONDS)
    if dtype.is_numeric():
        return _from_numbers(values, values.cast(pl.Float64), unit)
    texts = values.cast(pl.String, strict=False).str.strip_chars()
    numbers = texts.cast(pl.Float64, strict=False)
    times = _from_numbers(texts, numbers, unit)
    rest = (texts.is_not_null() & numbers.is_null()).arg_true()
    return times.scatter(rest, _from_texts(texts.gather(rest))) if len(rest) else times


def why_no_times(values: pl.Series, unit: Unit | None) -> pl.Series:
    """Why a value that `read_times` gives null for is no time, in words after "NAME is ..."; null: it is just none."""
    unit = unit or Unit.of(count_units(values)) or Unit.SECONDS
    counts = f"{', '.join(map(str, NO_EPOCHS[:-1]))} or {NO_EPOCHS[-1]}"
    no_date = f"a number of {counts} digits, but no calendar date from {FIRST_YEAR} to {LAST_YEAR}"
    other = (
        "a number in a column of calendar dates, and none of them"
        if unit == Unit.DATES
        else f"a number that counts no time of the years 1 to 9999 in {unit}, the unit of its column"
    )
    number = pl.col("number")
    is_date = _has_digits_of_dates(number.abs()) if unit == Unit.DATES else pl.lit(False)
    words = pl.when(is_date).then(pl.lit(no_date)).when(number.is_not_null()).then(pl.lit(other))
    return pl.DataFrame({"number": _numbers(values)}).select(words.alias("why")).to_series()


def sure_unit(least: int, greatest: int) -> Unit | None:
    """The unit of whole numbers, none of which can be a date; None where it takes a look at each."""
    return next((unit for unit, (low, high) in SURE.items() if low <= least and greatest < high), None)


def _plain_unit(values: pl.Series) -> Unit | None:
    """The unit of whole numbers that all look like one and like no date, which two numbers tell: the usual column."""
    if not values.dtype.is_integer() or values.null_count() == values.len():
        return None
    return sure_unit(int(values.min()), int(values.max()))  # type: ignore[arg-type]


def _numbers(values: pl.Series) -> pl.Series:
    if values.dtype.is_numeric():
        return values.cast(pl.Float64)
    if values.dtype.is_temporal():
        return pl.Series([None] * len(values), dtype=pl.Float64)
    return values.cast(pl.String, strict=False).str.strip_chars().cast(pl.Float64, strict=False)


def _has_digits_of_dates(magnitude: pl.Expr) -> pl.Expr:
    """Whether numbers have as many digits before the point as dates have and epochs of logs have not, or are dates."""
    tests = [magnitude.is_between(10 ** (n - 1), 10**n, closed="left") for n in NO_EPOCHS]
    return pl.any_horizontal(*tests, *(_is_dated(magnitude, digits) for digits in DATE_FORMATS))


def _is_dated(number: pl.Expr, digits: int) -> pl.Expr:
    unit = 10.0 ** (digits - 4)
    return number.is_between(FIRST_YEAR * unit, (LAST_YEAR + 1) * unit, closed="left")


def _from_numbers(values: pl.Series, numbers: pl.Series, unit: Unit) -> pl.Series:
    """Of numbers and what they were written as."""
    if unit == Unit.DATES:
        return _from_digits(values, numbers)
    scaled = (numbers * MICROSECONDS_A_UNIT[unit]).round().cast(pl.Int64, strict=False)
    if unit == Unit.NANOSECONDS:  # a float does not hold them to the microsecond
        scaled = (_whole(values, numbers) // 1_000).fill_null(scaled)
    times = scaled.cast(UTC_MICROSECONDS)
    return times.set(~times.is_between(EARLIEST, LATEST), None)


def _from_digits(values: pl.Series, numbers: pl.Series) -> pl.Series:
    table = pl.DataFrame({"number": numbers, "text": _whole(values, numbers).cast(pl.String)})
    read = [
        pl.when(_is_dated(pl.col("number"), digits))
        .then("text")
        .str.to_datetime(pattern, time_unit="us", strict=False)
        .dt.replace_time_zone("UTC")
        if "%H" in pattern
        else _midnight(pl.when(_is_dated(pl.col("number"), digits)).then("text"), pattern)
        for digits, pattern in DATE_FORMATS.items()
    ]
    return table.select(pl.coalesce(read).alias("time")).to_series()


def _whole(values: pl.Series, numbers: pl.Series) -> pl.Series:
    """Whole numbers as Int64, exact beyond what a float holds; null where they are none."""
    rounded = numbers.set(numbers != numbers.floor(), None).cast(pl.Int64, strict=False)
    return rounded if values.dtype.is_float() else values.cast(pl.Int64, strict=False).fill_null(rounded)


def _from_texts(texts: pl.Series) -> pl.Series:
    """Of texts that are no numbers: form by form, the ones first that the first texts have."""
    times = pl.Series(values=[None], dtype=UTC_MICROSECONDS).new_from_index(0, len(texts))
    sample = texts.head(SAMPLE)
    formats = sorted(FAST_FORMATS, key=lambda form: _from_format(sample, form).null_count())
    for read in (*(lambda rest, form=form: _from_format(rest, form) for form in formats), _from_iso, _from_asctime):
        left = times.is_null().arg_true()
        if not len(left):
            break
        times = times.scatter(left, read(texts.gather(left)))
    return times


def _from_format(texts: pl.Series, form: str) -> pl.Series:
    if form == "%+":
        return texts.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
    if "%H" in form:
        return texts.str.to_datetime(form, time_unit="us", strict=False).dt.replace_time_zone("UTC")
    return texts.to_frame("text").select(_midnight(pl.col("text"), form)).to_series()


def _midnight(text: pl.Expr, form: str) -> pl.Expr:
    return text.str.to_date(form, strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _from_iso(texts: pl.Series) -> pl.Series:
    """Any other form of ISO 8601, put together from its parts."""
    part = pl.col
    days = pl.coalesce(
        _midnight(pl.concat_str(part("year"), part("month"), part("day").fill_null("01")), "%Y%m%d"),
        _midnight(part("digits"), "%Y%m%d"),
        _midnight(part("week").str.replace_all("-", "", literal=True), "%GW%V%u"),
        _midnight(part("ordinal").str.replace_all("-", "", literal=True), "%Y%j"),
    )
    clock = _seconds("hour", "minute", "second")
    finest = pl.when(part("second").is_not_null()).then(1).when(part("minute").is_not_null()).then(60).otherwise(3600)
    fraction = part("fraction").str.replace(",", ".", literal=True).cast(pl.Float64) * finest * 1e6
    offset = pl.when(part("sign") == "+").then(-1).otherwise(1) * _seconds("hours", "minutes", "seconds")
    microseconds = (clock + offset) * 1_000_000 + fraction.fill_null(0).round().cast(pl.Int64)
    is_real = (clock + (fraction.fill_null(0) > 0) <= 86_400) & (offset.abs() < 86_400)
    times = pl.when(is_real).then(days + pl.duration(microseconds=microseconds))
    parts = texts.str.extract_groups(_ISO).struct.unnest()
    return parts.select(times.cast(UTC_MICROSECONDS).alias("time")).to_series()


def _seconds(hours: str, minutes: str, seconds: str) -> pl.Expr:
    one = [pl.col(name).cast(pl.Int64).fill_null(0) for name in (hours, minutes, seconds)]
    return one[0] * 3600 + one[1] * 60 + one[2]


def _from_asctime(texts: pl.Series) -> pl.Series:
    ordered = texts.str.replace(_ASCTIME, "$5 $1 $2 $3 $4").str.replace("(UTC|GMT)$", "+0000")
    return ordered.str.to_datetime("%Y %b %e %H:%M:%S %z", time_unit="us", time_zone="UTC", strict=False)
