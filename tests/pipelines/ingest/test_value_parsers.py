from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from pipelines.ingest import value_parsers


def read(reader, values, dtype=None):
    series = pl.Series("x", values, dtype=dtype)
    return series.to_frame().select(reader(pl.col("x"), series.dtype)).to_series().to_list()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", " b ", "", None, "007"], ["a", " b ", None, None, "007"]),
        ([12, None], ["12", None]),
        ([12.0, 3.5, float("nan")], ["12", None, None]),
    ],
)
def test_ids_become_text(values, expected):
    assert read(value_parsers.read_id, values) == expected


def test_numbers_are_read_from_text_and_from_numbers():
    assert read(value_parsers.read_number, ["4", " 3.5 ", "x", ""]) == [4.0, 3.5, None, None]
    assert read(value_parsers.read_number, [True, None], pl.Boolean) == [1.0, None]
    assert read(value_parsers.read_number, ["4", "5"], pl.Categorical) == [4.0, 5.0]


@pytest.mark.parametrize(
    "reader", [value_parsers.read_id, value_parsers.read_number, value_parsers.read_count, value_parsers.read_time]
)
def test_a_column_of_nothing_but_nulls_is_read_as_such(reader):
    assert read(reader, [None, None], pl.Null) == [None, None]


def test_counts_are_whole_and_from_zero():
    assert read(value_parsers.read_count, ["0", "7.0", "7.5", "-1", "x"]) == [0, 7, None, None, None]


NOON = datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)  # 1,600,000,000 seconds after the epoch


@pytest.mark.parametrize("unit", [1, 1e3, 1e6, 1e9])
def test_the_size_of_an_epoch_tells_its_unit(unit):
    assert read(value_parsers.read_time, [int(1_600_000_000 * unit)]) == [NOON]
    assert read(value_parsers.read_time, [str(int(1_600_000_000 * unit))]) == [NOON]


def test_iso_texts_are_read_in_utc():
    texts = [
        "2020-09-13T12:26:40Z", "2020-09-13T14:26:40+02:00", "2020-09-13T12:26:40", "2020-09-13 12:26:40.5",
        "2020-09-13", "yesterday", None,
    ]  # fmt: skip
    midnight = datetime(2020, 9, 13, tzinfo=UTC)
    half = NOON + timedelta(milliseconds=500)
    assert read(value_parsers.read_time, texts) == [NOON, NOON, NOON, half, midnight, None, None]


JANUARY = datetime(2024, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (20240131, JANUARY),
        (202401311205, JANUARY.replace(hour=12, minute=5)),
        (20240131120507, JANUARY.replace(hour=12, minute=5, second=7)),
        (20240131120507123, JANUARY.replace(hour=12, minute=5, second=7, microsecond=123_000)),
        (19900101, datetime(1990, 1, 1, tzinfo=UTC)),
        (21001231235959, datetime(2100, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (20240231, None),
        (20240131240000, None),
        (19891231, None),
        (21010101, None),
        (99999999, None),
        (-20240131, None),
        (20240131125907999 + 10**15, None),
        (600_000_000_000, datetime(1989, 1, 5, 10, 40, tzinfo=UTC)),
        (9_999_999, datetime(1970, 4, 26, 17, 46, 39, tzinfo=UTC)),
    ],
)
def test_whole_numbers_with_the_digits_of_dates_are_dates_and_no_epochs(number, expected):
    assert read(value_parsers.read_time, [number]) == [expected]
    assert read(value_parsers.read_time, [f" {number} "]) == [expected]
    assert read(value_parsers.read_time, [str(number)], pl.Categorical) == [expected]
    if abs(number) < 2**53:  # what a float holds
        assert read(value_parsers.read_time, [float(number)]) == [expected]
        assert read(value_parsers.read_time, [f"{number}.0"]) == [expected]


def test_columns_of_dates_and_times_are_taken_as_utc():
    assert read(value_parsers.read_time, [date(2020, 9, 13)]) == [datetime(2020, 9, 13, tzinfo=UTC)]
    assert read(value_parsers.read_time, [NOON.replace(tzinfo=None)]) == [NOON]
    assert read(value_parsers.read_time, [NOON], pl.Datetime("ms", "Europe/Berlin")) == [NOON]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["userId", "movieId"], "userId"),
        (["uid", "item"], "uid"),
        (["who", "what"], "COLUMN"),
        (["User Id"], "User Id"),
    ],
)
def test_guess_names_the_column_that_is_probably_meant(found, expected):
    assert value_parsers.guess("user_id", found) == expected
