from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from pipelines import readers


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
    assert read(readers.read_id, values) == expected


def test_numbers_are_read_from_text_and_from_numbers():
    assert read(readers.read_number, ["4", " 3.5 ", "x", ""]) == [4.0, 3.5, None, None]
    assert read(readers.read_number, [True, None], pl.Boolean) == [1.0, None]
    assert read(readers.read_number, ["4", "5"], pl.Categorical) == [4.0, 5.0]


@pytest.mark.parametrize("reader", [readers.read_id, readers.read_number, readers.read_count, readers.read_time])
def test_a_column_of_nothing_but_nulls_is_read_as_such(reader):
    assert read(reader, [None, None], pl.Null) == [None, None]


def test_counts_are_whole_and_from_zero():
    assert read(readers.read_count, ["0", "7.0", "7.5", "-1", "x"]) == [0, 7, None, None, None]


NOON = datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)  # 1,600,000,000 seconds after the epoch


@pytest.mark.parametrize("unit", [1, 1e3, 1e6, 1e9])
def test_the_size_of_an_epoch_tells_its_unit(unit):
    assert read(readers.read_time, [int(1_600_000_000 * unit)]) == [NOON]
    assert read(readers.read_time, [str(int(1_600_000_000 * unit))]) == [NOON]


def test_iso_texts_are_read_in_utc():
    texts = [
        "2020-09-13T12:26:40Z", "2020-09-13T14:26:40+02:00", "2020-09-13T12:26:40", "2020-09-13 12:26:40.5",
        "2020-09-13", "yesterday", None,
    ]  # fmt: skip
    midnight = datetime(2020, 9, 13, tzinfo=UTC)
    half = NOON + timedelta(milliseconds=500)
    assert read(readers.read_time, texts) == [NOON, NOON, NOON, half, midnight, None, None]


def test_columns_of_dates_and_times_are_taken_as_utc():
    assert read(readers.read_time, [date(2020, 9, 13)]) == [datetime(2020, 9, 13, tzinfo=UTC)]
    assert read(readers.read_time, [NOON.replace(tzinfo=None)]) == [NOON]
    assert read(readers.read_time, [NOON], pl.Datetime("ms", "Europe/Berlin")) == [NOON]


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
    assert readers.guess("user_id", found) == expected
