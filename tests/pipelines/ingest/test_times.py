from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from pipelines.ingest.times import Unit, count_units, read_times, why_no_times

NOON = datetime(2023, 1, 15, 12, tzinfo=UTC)


def read(*values, unit=None):
    return read_times(pl.Series(values), unit).to_list()


@pytest.mark.parametrize(
    "text",
    [
        "2023-01-15T12:00:00Z", "2023-01-15t12:00:00z", "2023-01-15 12:00:00", "2023-01-15T12:00", "2023-01-15T12",
        "2023-01-15T12Z", "20230115T120000Z", "20230115T1200", "20230115T12", "20230115T140000+02",
        "20230115T1730+0530",
        "2023-01-15 12:00:00+00", "2023-01-15 04:00:00-08", "2023-01-15 17:45:00+05:45", "2023-01-15 12:00:00.000+00",
        "2023-01-15T12:00:00.000000000Z", "2023-01-15T12:00:00,0Z", "2023-01-15T11.999999999999", "2023-01-15T11:60Z",
        "2023-W02-7T12:00", "2023W027T12", "2023-015T12:00:00Z", "2023015T1200", "2023-01-15T09:00:00\u221203:00",
        "2023-01-15 12:00:00 UTC", "2023-01-15T12:00:00 GMT", " 2023-01-15T12:00 ", "Sun Jan 15 14:00:00 +0200 2023",
        "2023-01-15 12:00:00+00:00:00",
    ],
)  # fmt: skip
def test_every_form_of_iso_8601_is_read(text):
    expected = None if "11:60" in text else NOON
    assert read(text) == [expected]
    assert read(text, "2023-01-15", "soon") == [expected, NOON.replace(hour=0), None]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-01-15T12:00:00.25+00", NOON + timedelta(seconds=0.25)),
        ("2023-01-15T12:30,5Z", NOON + timedelta(minutes=30.5)),
        ("2023-01-15T12.25", NOON + timedelta(hours=0.25)),
        ("2023-01-14T24:00Z", NOON.replace(hour=0)),
        ("2016-12-31T23:59:60+00", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2023-01", datetime(2023, 1, 1, tzinfo=UTC)),
        ("2023-W02-7", NOON.replace(hour=0)),
        ("2023-015", NOON.replace(hour=0)),
    ],
)
def test_fractions_ends_of_days_and_reduced_dates_are_read(text, expected):
    assert read(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-30T12:00Z", "2023-13-01", "2023-01-14T24:01Z", "2023-01-15T25:00Z", "2023-W54-1", "2023-366",
        "2023-01-15T12:00+24:00", "infinity", "15/01/2023", "2023-01-15T12:00 CET", "2023-01-15T", "20230115T", "now",
    ],
)  # fmt: skip
def test_what_is_no_moment_is_none(text):
    assert read(text) == [None]


def test_numbers_are_read_by_the_unit_of_their_column():
    thousandths = [1_673_784_000_000, 1_673_784_000_500, 86_400_000, 0]
    midnight = datetime(1970, 1, 1, tzinfo=UTC)
    expected = [NOON, NOON + timedelta(seconds=0.5), midnight + timedelta(days=1), midnight]
    assert read(*thousandths) == expected
    assert read(*map(str, thousandths)) == expected
    assert read(*map(float, thousandths)) == expected
    seconds = [1_673_784_000, 1_673_784_001, 1_673_784_000_000]
    assert read(*seconds) == [NOON, NOON + timedelta(seconds=1), None]


def test_units_are_counted_over_blocks_and_small_numbers_are_evidence_of_none():
    counts = count_units(pl.Series(["0", "-1", "1673784000000", "2023-01-15", None, "x", "1e21", "20230115"]))
    assert counts == {
        "small": 2, "seconds": 0, "milliseconds": 1, "microseconds": 0, "nanoseconds": 0, "calendar dates": 1
    }  # fmt: skip
    for digits, unit in ((10, "seconds"), (13, "milliseconds"), (16, "microseconds"), (19, "nanoseconds")):
        assert count_units(pl.Series([10 ** (digits - 1), None, 2 * 10 ** (digits - 1)])) == {unit: 2}
    assert Unit.of({"small": 60, "milliseconds": 2}) == Unit.MILLISECONDS
    assert Unit.of({"small": 60}) == Unit.SECONDS
    assert Unit.of({"calendar dates": 2, "seconds": 2}) == Unit.DATES
    assert Unit.of({}) is None


def test_dates_and_epochs_in_one_column_go_by_the_majority_and_iso_beside_them_is_read():
    dates = ["20230115", "20230115120000", "1673784000", "2023-01-15T12:00Z"]
    assert read(*dates) == [NOON.replace(hour=0), NOON, None, NOON]
    assert why_no_times(pl.Series(dates), Unit.DATES)[2] == "a number in a column of calendar dates, and none of them"
    seconds = why_no_times(pl.Series(["1e21", "soon", None]), Unit.SECONDS).to_list()
    assert seconds == [
        "a number that counts no time of the years 1 to 9999 in seconds, the unit of its column", None, None
    ]  # fmt: skip


def test_nanoseconds_are_exact_to_the_microsecond():
    assert read(1_673_784_000_123_456_789) == [NOON + timedelta(microseconds=123_456)]
    assert read("1673784000123456789") == [NOON + timedelta(microseconds=123_456)]


@pytest.mark.parametrize("value", ["1e21", "-63000000000", "1e308", "-1e308", "nan", "inf", "9" * 40])
def test_a_number_beyond_every_calendar_is_none(value):
    assert read(value, "1673784000", "1673784000", unit=Unit.SECONDS) == [None, NOON, NOON]
    assert read(float(value), 1673784000.0, 1673784000.0) == [None, NOON, NOON]
