from decimal import Decimal

import polars as pl
import pytest

from pipelines.ingest.ids import count_forms, drops_zeros, read_ids


def read(values, dtype=None):
    column = pl.Series(values, dtype=dtype)
    return read_ids(column, without_zeros=drops_zeros(count_forms(column))).to_list()


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (["12.0", "7", "", None, "u1"], None, ["12", "7", None, None, "u1"]),
        (["12.00", "-3.0"], None, ["12", "-3"]),
        (["12.0", "07.0", "07"], None, ["12.0", "07.0", "07"]),
        (["12.0", "07", "0.0"], None, ["12", "07", "0"]),
        (["12.0", "7"], pl.Categorical, ["12", "7"]),
        (["12.0", "7"], pl.Enum(["12.0", "7"]), ["12", "7"]),
        ([12.0, 3.5, float("nan"), float("inf"), None], None, ["12", None, None, None, None]),
        ([Decimal("12.00"), Decimal("12.50"), None], None, ["12", None, None]),
        ([Decimal(2**70)], None, [str(2**70)]),
        ([12, None], None, ["12", None]),
        ([2**64 - 1], pl.UInt64, [str(2**64 - 1)]),
        ([None], None, [None]),
    ],
)
def test_a_whole_number_that_became_a_float_is_the_number(values, dtype, expected):
    assert read(values, dtype) == expected


@pytest.mark.parametrize("values", [["1.0", "1.10"], ["1.0", "1.0.1"], ["2.0", "2.5", "x"]])
def test_versions_stay_as_they_are(values):
    assert read(values) == values


def test_forms_are_counted_so_that_blocks_add_up():
    assert count_forms(pl.Series(["1.0", "1.10", "2.0", "10.0.0.7", "a.b", "3", None])) == {"whole": 2, "fraction": 2}
    assert count_forms(pl.Series([1.0, 2.0, 2.5])) == {"whole": 2, "fraction": 0}
    assert count_forms(pl.Series([1, 2])) == {"whole": 0, "fraction": 0}
    assert not drops_zeros({"whole": 5, "fraction": 1})
    assert not drops_zeros({})
