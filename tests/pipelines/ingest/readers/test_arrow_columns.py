"""Parquet as DuckDB, Spark, pandas and polars write it, made with pyarrow."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.ingest.readers import Kind, Layout, open_log
from pipelines.ingest.readers.arrow_columns import time_zones
from recsys_vae.errors import DataError

UUIDS = (UUID(int=1), UUID("50f13c4e-e02d-4554-ac95-93e6c15eac3b"))


def read(path, wanted=None):
    return pl.concat([block.rows for block in open_log(path, Layout(Kind.PARQUET), wanted)])


def column(tmp_path, values, kind):
    pq.write_table(pa.table({"x": pa.array(values, kind)}), tmp_path / "x.parquet")
    return read(tmp_path / "x.parquet")["x"].to_list()


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([one.bytes for one in UUIDS], pa.uuid(), [str(one) for one in UUIDS]),
        ([one.bytes for one in UUIDS], pa.binary(16), [str(one) for one in UUIDS]),
        ([one.bytes for one in UUIDS], pa.binary(), [str(one) for one in UUIDS]),
        ([UUIDS[0].bytes, None], pa.binary(), [str(UUIDS[0]), None]),
        ([b"sixteen letters!", None], pa.binary(), ["sixteen letters!", None]),
        ([b"tea", "Café".encode(), None], pa.binary(), ["tea", "Café", None]),
        ([b"tea", b"pie"], pa.binary(3), ["tea", "pie"]),
        (["a", None, "b"], pa.dictionary(pa.int8(), pa.string()), ["a", None, "b"]),
        ([Decimal("1.50"), None], pa.decimal128(10, 2), [Decimal("1.50"), None]),
        ([Decimal(2**200)], pa.decimal256(76, 0), [str(2**200)]),
        ([1.5, None], pa.float16(), [1.5, None]),
        (["a"], pa.large_string(), ["a"]),
        ([datetime(2023, 1, 15, 10)], pa.timestamp("s"), [datetime(2023, 1, 15, 10)]),
        ([datetime(2023, 1, 15, 10, tzinfo=UTC)], pa.timestamp("us", "UTC"), [datetime(2023, 1, 15, 10, tzinfo=UTC)]),
        ([[1, 2], None], pa.list_(pa.int64()), [[1, 2], None]),
        ([{"a": 1}], pa.struct({"a": pa.int32()}), [{"a": 1}]),
        ([None, None], pa.null(), [None, None]),
        ([b"\xff"], pa.binary(), [b"\xff"]),
    ],
)
def test_columns_come_in_types_that_are_read(tmp_path, values, kind, expected):
    assert column(tmp_path, values, kind) == expected


def test_the_old_timestamps_of_spark_are_read(tmp_path):
    table = pa.table({"x": pa.array([datetime(2023, 1, 15, 10)], pa.timestamp("ns"))})
    pq.write_table(table, tmp_path / "x.parquet", use_deprecated_int96_timestamps=True)
    assert read(tmp_path / "x.parquet")["x"].to_list() == [datetime(2023, 1, 15, 10)]


def test_an_index_of_pandas_is_a_column_and_one_that_counts_up_too(tmp_path):
    frame = pd.DataFrame({"item_id": ["p", "q", "r"]})
    frame.set_index(pd.Index(["a", "b", "c"], name="user_id")).to_parquet(tmp_path / "named.parquet")
    assert read(tmp_path / "named.parquet").rows() == [("p", "a"), ("q", "b"), ("r", "c")]
    frame.set_index(pd.RangeIndex(7, 13, 2, name="user_id")).to_parquet(tmp_path / "range.parquet")
    assert "user_id" not in pq.read_schema(tmp_path / "range.parquet").names
    assert read(tmp_path / "range.parquet").rows() == [("p", 7), ("q", 9), ("r", 11)]
    assert read(tmp_path / "range.parquet", ["item_id"]).columns == ["item_id"]
    frame.to_parquet(tmp_path / "plain.parquet")
    assert read(tmp_path / "plain.parquet").columns == ["item_id"]


def test_only_the_columns_that_are_wanted_are_read(tmp_path):
    pq.write_table(pa.table({"user_id": ["a"], "x": [[1]], "item.id": ["b"]}), tmp_path / "x.parquet")
    reader = open_log(tmp_path / "x.parquet", Layout(Kind.PARQUET), ["user_id", "item.id"])
    assert reader.columns == ("user_id", "x", "item.id")
    assert [block.rows.columns for block in reader] == [["user_id", "item.id"]]


def test_a_file_with_other_rows_than_it_says_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"user_id": ["a", "b", "c"]}), path)
    data = path.read_bytes()
    of_group = data.rindex(b"\x16\x06")  # the last of two 3s: rows of the only group, in Thrift's compact protocol
    path.write_bytes(data[:of_group] + b"\x16\x02" + data[of_group + 2 :])
    with pytest.raises(DataError, match="says that it has 3 rows, and 1 were read"):
        list(open_log(path, Layout(Kind.PARQUET)))


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_text_that_is_none_costs_its_row_and_no_other(tmp_path, kind):
    path = tmp_path / "x.parquet"
    table = pa.table({"user_id": pa.array(["a", "bad", None, "d"], kind), "item_id": [1, 2, 3, 4]})
    pq.write_table(table, path, compression="none", write_statistics=False, store_schema=kind != pa.string())
    path.write_bytes(path.read_bytes().replace(b"bad", b"b\xe9d"))
    (block,) = open_log(path, Layout(Kind.PARQUET))
    assert block.rows.rows() == [("a", 1), (None, 3), ("d", 4)]
    assert block.lines.tolist() == [1, 3, 4]
    assert [(one.line, one.raw) for one in block.rejected] == [(2, "b\\xe9d")]
    (block,) = open_log(path, Layout(Kind.PARQUET), ["item_id"])
    assert block.rows.rows() == [(1,), (2,), (3,), (4,)]


def test_damage_that_arrow_finds_by_itself_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"user_id": [["abc"]]}), path, compression="none", use_dictionary=False)
    data = path.read_bytes()
    for damaged in (data.replace(b"abc", b"ab\xff"), data.replace(b"user_id", b"\xffser_id")):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="cannot be read"):
            list(open_log(path, Layout(Kind.PARQUET)))


def test_time_zones_are_found_in_nested_types():
    kind = pa.struct(
        {"a": pa.list_(pa.timestamp("us", "UTC")), "b": pa.dictionary(pa.int8(), pa.timestamp("s", "Asia/Tokyo"))}
    )
    assert time_zones(kind) == ["UTC", "Asia/Tokyo"]
    assert time_zones(pa.timestamp("ms")) == time_zones(pa.map_(pa.string(), pa.int8())) == []


def test_a_panic_of_polars_is_an_error_of_the_file(tmp_path, monkeypatch):
    def panic(name, column):
        raise pl.exceptions.PanicException("no such type\nmore of it")

    monkeypatch.setattr("pipelines.ingest.readers.parquet.to_series", panic)
    with pytest.raises(DataError, match=r"x\.parquet cannot be read: no such type\. Check"):
        column(tmp_path, [1], pa.int8())


YEAR_20000 = 568_970_000_000
"""Seconds from 1970."""


@pytest.mark.parametrize(
    ("counts", "kind"),
    [
        ([0, YEAR_20000], pa.timestamp("s")),
        ([0, YEAR_20000 * 1_000], pa.timestamp("ms", "UTC")),
        ([0, -YEAR_20000 * 1_000_000], pa.timestamp("us")),
        ([0, YEAR_20000 // 86_400], pa.date32()),
    ],
)
def test_a_time_that_no_calendar_has_costs_its_row(tmp_path, counts, kind):
    counted = pa.array(counts, pa.int32() if kind == pa.date32() else pa.int64())
    pq.write_table(pa.table({"x": counted.cast(kind), "n": [1, 2]}), tmp_path / "x.parquet")
    (block,) = open_log(tmp_path / "x.parquet", Layout(Kind.PARQUET))
    assert block.rows["n"].to_list() == [1]
    assert [(one.line, one.reason) for one in block.rejected] == [
        (2, "a time outside the years 1 to 9999, or a time of day outside a day")
    ]


def test_times_of_the_first_and_the_last_day_are_read(tmp_path):
    ends = [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)]
    assert column(tmp_path, ends, pa.timestamp("us")) == ends


def test_a_nested_time_that_no_calendar_has_refuses_the_file(tmp_path):
    with pytest.raises(DataError, match="nested value holds a time outside the years"):
        column(tmp_path, pa.array([[YEAR_20000]], pa.list_(pa.int64())).cast(pa.list_(pa.timestamp("s"))), None)
