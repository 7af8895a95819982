from datetime import UTC, datetime

import polars as pl
import pytest

from pipelines.ingest.table_schemas import GIVEN_TEST, INTERACTIONS
from recsys_vae.errors import SchemaError


def filter_rows(**columns):
    result = INTERACTIONS.filter(pl.LazyFrame(columns))
    return result.good.collect(), result.bad.collect()


def test_good_rows_are_typed_and_bad_rows_stay_as_they_were_found():
    good, bad = filter_rows(
        user_id=["1", None, "3", "4", "5", "6"],
        item_id=["a", "b", "", "d", "e", "f"],
        weight=["1", "1", "1", "abc", "0", "inf"],
    )
    assert good.schema == INTERACTIONS.schema
    assert good["user_id"].to_list() == ["1"]
    assert dict(zip(bad["item_id"], bad["reason"], strict=True)) == {
        "b": "user_id is missing",
        None: "item_id is missing",
        "d": "weight is not a number",
        "e": "weight is not a number from 0.000001 to 1e+12",
        "f": "weight is not a number from 0.000001 to 1e+12",
    }
    assert bad["weight"].to_list() == ["1", "1", "abc", "0", "inf"]


def test_optional_columns_may_be_absent_or_null():
    good, bad = filter_rows(user_id=[1], item_id=[2], timestamp=[None])
    assert bad.is_empty()
    assert good.row(0) == ("1", "2", None, None, None, None)


def test_unreadable_times_and_positions_break_the_contract():
    _, bad = filter_rows(user_id=["1", "2"], item_id=["a", "a"], timestamp=["soon", None], position=[None, "-1"])
    assert bad["reason"].to_list() == [
        "timestamp is not a time (ISO 8601 or epoch)",
        "position is not a whole number from 0",
    ]


@pytest.mark.parametrize("values", [["20240131", "20240231"], [20240131, 20240231], [20240131.0, 20240231.0]])
def test_a_number_that_is_neither_date_nor_epoch_breaks_the_contract_and_says_why(values):
    good, bad = filter_rows(user_id=["1", "2"], item_id=["a", "a"], timestamp=values)
    assert good["timestamp"].to_list() == [datetime(2024, 1, 31, tzinfo=UTC)]
    assert bad["reason"].to_list() == [
        "timestamp is a number of 8, 14 or 17 digits, but no calendar date from 1990 to 2100"
    ]


def test_times_that_no_calendar_holds_break_the_contract():
    times = ["9999-12-31T23:59:59-14:00", "1e30", "-99999999999", "9999-12-29"]
    good, bad = filter_rows(user_id=["1"] * 4, item_id=["a"] * 4, timestamp=times)
    assert good["timestamp"].to_list() == [datetime(9999, 12, 29, tzinfo=UTC)]
    assert bad["reason"].to_list() == [
        "timestamp is not a time of the years 1 to 9999",
        "timestamp is a number that counts no time of the years 1 to 9999 in seconds, the unit of its column",
        "timestamp is a number that counts no time of the years 1 to 9999 in seconds, the unit of its column",
    ]


def test_weights_that_no_later_reader_can_hold_break_the_contract():
    weights = ["0.000001", "1e12", "5e-324", "1e-39", "1e13", "nan"]
    good, bad = filter_rows(user_id=["1"] * 6, item_id=["a"] * 6, weight=weights)
    assert good["weight"].len() == 2
    assert bad["weight"].to_list() == weights[2:]


def test_the_place_of_a_row_in_its_log_is_kept():
    good, bad = filter_rows(user_id=["1", None], item_id=["a", "b"], file=[0, 0], row=[0, 1])
    assert good.select("file", "row").row(0) == (0, 0)
    assert bad.select("file", "row").row(0) == (0, 1)


def test_a_missing_required_column_and_a_nested_one_are_errors():
    with pytest.raises(SchemaError, match="needs a column 'item_id'"):
        filter_rows(user_id=[1])
    with pytest.raises(SchemaError, match="one plain value a row"):
        filter_rows(user_id=[[1]], item_id=[1])


def test_check_takes_the_exact_form_only():
    GIVEN_TEST.check(pl.LazyFrame({"user_id": ["1"], "item_id": ["2"]}))
    with pytest.raises(SchemaError, match="given_test"):
        GIVEN_TEST.check(pl.LazyFrame({"user_id": [1], "item_id": ["2"]}))


def test_ids_are_those_that_the_service_takes():
    good, bad = filter_rows(user_id=["ü" * 512, "x" * 513, "a\0b"], item_id=["1", "2", "3"])
    assert good["item_id"].to_list() == ["1"]
    assert bad["reason"].unique().to_list() == ["user_id is longer than 512 characters, or holds NUL"]
