import gzip
from pathlib import Path

import polars as pl
import pytest

from pipelines.ingest.log_files import ColumnMap, find_files
from pipelines.ingest.metadata_files import read_table
from recsys_vae.errors import ConfigError, DataError, EmptyDataError, SchemaError, UnknownNameError

TABLE = pl.DataFrame({"user_id": ["1", "2"], "item_id": ["x", "y"]})


def write(path: Path) -> Path:
    writers = {
        ".csv": lambda: TABLE.write_csv(path),
        ".tsv": lambda: TABLE.write_csv(path, separator="\t"),
        ".parquet": lambda: TABLE.write_parquet(path),
        ".ndjson": lambda: TABLE.write_ndjson(path),
        ".gz": lambda: path.write_bytes(gzip.compress(TABLE.write_csv().encode())),
    }
    writers[path.suffix]()
    return path


@pytest.mark.parametrize("name", ["log.csv", "log.tsv", "log.parquet", "log.ndjson", "LOG.csv.gz"])
def test_every_format_gives_the_same_rows(tmp_path, name):
    assert read_table(write(tmp_path / name))[0].equals(TABLE)


def test_values_of_mixed_type_in_ndjson_come_as_text(tmp_path):
    log = tmp_path / "log.ndjson"
    log.write_text('{"user_id": 1, "item_id": "x"}\n{"user_id": "u2", "item_id": 2.5}\n')
    assert read_table(log)[0].rows() == [("1", "x"), ("u2", "2.5")]


def test_quotes_in_tab_separated_text_are_plain_characters(tmp_path):
    log = tmp_path / "log.tsv"
    log.write_text('user_id\titem_id\n"1\tx\n')
    assert read_table(log)[0].row(0) == ('"1', "x")


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("log.csv", b"", EmptyDataError, "is empty"),
        ("log.xlsx", b"PK\x03\x04rest", DataError, "a zip archive or a workbook"),
        ("log.parquet", b"not parquet at all", DataError, "cannot be read"),
        ("log.json", b"user,item\n1,2\n", DataError, "is no JSON array"),
        ("log.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", DataError, "pointer of Git LFS"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path, name, content, error, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        read_table(tmp_path / name)


def test_globs_are_sorted_and_a_file_counts_once(tmp_path):
    files = [write(tmp_path / name) for name in ("a.csv", "b.csv")]
    assert find_files([str(tmp_path / "*.csv"), str(tmp_path / "a.csv")]) == tuple(files)


def test_a_pattern_without_a_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match="No file matches"):
        find_files([str(tmp_path / "*.csv")])


def test_rating_stands_for_weight_only_where_there_is_no_weight():
    frame = pl.LazyFrame({"user_id": [1], "item_id": [1], "rating": [5], "weight": [2]})
    assert ColumnMap().apply(frame, "log").collect()["weight"].to_list() == [2]


def test_a_missing_column_lists_what_was_found_and_how_to_map_it():
    frame = pl.LazyFrame({"userId": [1], "item_id": [1]})
    with pytest.raises(SchemaError, match=r"Columns found: userId, item_id\. .* --map user_id=userId"):
        ColumnMap().apply(frame, "log")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["user_id"], ConfigError),
        (["user_id="], ConfigError),
        (["user=x"], UnknownNameError),
        (["user_id=a", "user_id=b"], ConfigError),
    ],
)
def test_a_malformed_map_is_an_error(options, error):
    with pytest.raises(error):
        ColumnMap.parse(options)


def test_mapping_to_a_column_that_is_not_there_is_an_error():
    with pytest.raises(ConfigError, match="has no column 'who'"):
        ColumnMap.parse(["user_id=who"]).apply(pl.LazyFrame({"item_id": [1]}), "log")


@pytest.mark.parametrize(("header", "hint"), [("who what", "--separator blank"), ("who;what", "--separator ';'")])
def test_a_header_that_was_taken_for_one_column_is_told_with_the_option_that_cuts_it(header: str, hint: str) -> None:
    with pytest.raises(SchemaError, match=hint):
        ColumnMap().resolve([header], "log.csv")
