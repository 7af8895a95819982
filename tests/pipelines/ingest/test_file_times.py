from datetime import UTC, datetime, timedelta

import polars as pl

from pipelines.ingest.file_times import TimeCounts, odd_times
from pipelines.ingest.times import Unit

NOW = datetime(2025, 1, 1, tzinfo=UTC)


def counted(*times, now=NOW):
    counts = TimeCounts()
    counts.add(pl.Series(times, dtype=pl.Datetime("us", "UTC")), now)
    return counts


def year(number, rows=1):
    return [datetime(number, 6, 1, tzinfo=UTC)] * rows


def test_the_range_of_a_file_is_told_with_its_unit():
    counts = counted(*year(2021), None, *year(2023))
    counts.look(pl.Series(["1622505600", "1685577600", "2023-01-01"]))
    times = counts.file_times()
    assert (times.rows, times.unit, times.first.year, times.last.year) == (2, "seconds", 2021, 2023)
    assert str(times) == "2021-06-01 00:00 to 2023-06-01 00:00, numbers in seconds"
    assert str(counted(datetime(900, 6, 1, tzinfo=UTC)).file_times()).startswith("0900-06-01 00:00 to")
    assert counted(None).file_times() is None
    assert counted(*year(2021)).file_times().unit is None


def test_rows_of_the_future_of_old_times_and_far_from_all_others_are_said():
    usual = year(2021, 50) + year(2022, 50)
    assert odd_times([counted(*usual)]) == ()
    assert odd_times([counted()]) == ()
    future = NOW + timedelta(days=1)
    found = odd_times(
        [counted(*usual, future), counted(*year(1970, 2)), counted(*year(2001), *year(2003), *year(2016))]
    )
    assert found == (
        "1 row lies in the future",
        "2 rows lie before 1990",
        "2 rows lie years from the others (2001, 2003)",
    )


def test_years_are_those_of_the_calendar():
    moments = [datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC),
               datetime(2024, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC),
               datetime(1, 1, 2, tzinfo=UTC)]  # fmt: skip
    assert counted(*moments).years == {1969: 1, 1970: 1, 2024: 1, 9999: 1, 1: 1}


def test_a_log_of_many_years_has_no_outliers_by_that():
    assert odd_times([counted(*[time for n in range(1996, 2024) for time in year(n, 3)])]) == ()


def test_a_column_is_judged_by_all_of_it():
    counts = TimeCounts()
    assert counts.look(pl.Series([1_673_776_800])) == Unit.SECONDS
    assert counts.look(pl.Series([1_673_776_800_000] * 2)) == Unit.SECONDS  # all rows alike, until it is read anew
    assert counts.other_unit == Unit.MILLISECONDS
    known = TimeCounts(Unit.MILLISECONDS)
    assert known.look(pl.Series([1_673_776_800] * 3)) == Unit.MILLISECONDS
    assert known.other_unit is None
    assert TimeCounts().look(pl.Series([NOW])) is None
