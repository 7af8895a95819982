import gzip
from pathlib import Path

import polars as pl
import pytest

from pipelines.ingest.user_lists import read_user_list
from recsys_vae.errors import DataError, EmptyDataError, SchemaError


@pytest.mark.parametrize(
    "content",
    [
        b"u1\nu2\n",
        b"\xef\xbb\xbfu1\r\nu2",
        b"u2\ru1\r",
        b"user_id\n u2 \n\nu1\nu1\n",
        b'"u1"\n"u2"\n',
        b"\xef\xbb\xbfuser_id\nu1\nu2\n",
        "u1\nu2\n".encode("utf-16"),
        gzip.compress(b"u1\nu2\n"),
    ],
    ids=["plain", "mark", "old Mac", "heading", "quoted", "mark and heading", "UTF-16", "packed"],
)
def test_a_text_has_an_id_a_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "users.txt"
    path.write_bytes(content)
    assert read_user_list(path).values.to_list() == ["u1", "u2"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"12.0\n7\n", ["12", "7"]),
        (b"1.0\n1.10\n", ["1.0", "1.10"]),
        ("müller\n".encode("cp1252"), ["müller"]),
    ],
    ids=["floats", "versions", "Windows-1252"],
)
def test_ids_are_read_as_those_of_logs(tmp_path: Path, content: bytes, expected: list[str]) -> None:
    for name, heading in (("users.txt", b""), ("users.csv", b"user_id\n")):
        (tmp_path / name).write_bytes(heading + content)
        assert read_user_list(tmp_path / name).values.to_list() == expected


def test_quote_marks_within_an_id_belong_to_it(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    path.write_text('TV 19"\n"say ""hi"""\n"\n')
    assert read_user_list(path).values.to_list() == ['"', 'TV 19"', 'say "hi"']


@pytest.mark.parametrize("ending", ["csv", "tsv", "ndjson", "parquet"])
def test_a_table_has_a_column_of_ids_whole_numbers_among_them(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"users.{ending}"
    table = pl.DataFrame({"name": ["x", "y", "z"], "user_id": [12.0, 7.0, None]})
    match ending:
        case "parquet":
            table.write_parquet(path)
        case "ndjson":
            table.cast({"user_id": pl.Int64}).write_ndjson(path)
        case _:
            table.cast({"user_id": pl.Int64}).write_csv(path, separator="\t" if ending == "tsv" else ",")
    assert read_user_list(path).values.to_list() == ["12", "7"]


def test_a_csv_keeps_quote_marks_in_its_ids(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_bytes(b'\xef\xbb\xbfuser_id\nTV 19"\nu2\n')
    assert read_user_list(path).values.to_list() == ['TV 19"', "u2"]


@pytest.mark.parametrize(
    ("name", "content", "error", "match"),
    [
        ("users.txt", b"", EmptyDataError, "names no user"),
        ("users.txt", b"user_id\n\n", EmptyDataError, "names no user"),
        ("users.txt", b"u1\nm\x81ller\n", DataError, "line 2 holds other bytes"),
        ("users.csv", b"12\n7\n", SchemaError, "no line that names its columns"),
        ("users.csv", b"customer,age\nu1,2\n", SchemaError, "no column 'user_id'; it has customer, age"),
        ("users.parquet", b"user_id", DataError, "cannot be read"),
        ("users.csv", b'user_id,name\n"u1,a\nu2,b\n', DataError, "users.csv"),
    ],
)
def test_what_is_no_list_of_users_says_so(
    tmp_path: Path, name: str, content: bytes, error: type[Exception], match: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(error, match=match):
        read_user_list(path)
    with pytest.raises(DataError, match="There is no file"):
        read_user_list(tmp_path / "none.txt")
