import csv
import gzip
import io
from contextlib import suppress
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import records
from pipelines.records import Records, check_rows, count_csv, count_lines, count_objects
from recsys_vae.errors import DataError

INCHES = 'user_id,item_id,name\n1,a,Cable\n2,b,TV 19"\n3,c,Lamp\n4,d,Mug\n5,e,TV 21"\n6,f,Cup\n'
CELL = st.text(alphabet='ab",\n ', max_size=5)


def counted(path: Path, text: str) -> Records:
    records._counted.cache_clear()
    path.write_bytes(text.encode())
    return count_csv(path)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records") / "log.csv"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,2\n", 1),
        ("a,b\r\n1,2\r\n3,4", 2),
        ("\ufeff\n\na,b\n1,2\n", 1),
        ("a,b\n1,2\n\n\n", 3),
        ("a,b", 0),
        ("", 0),
        (INCHES, 6),
        ('a,b\n1,"x\ny"\n2,"a ""b"" c"\n', 2),
        ('a,b\n1,"x"\n2,TV 19"\n3,"y,\n"\n4,TV 21"\n', 4),
    ],
)
def test_rows_are_counted_as_spreadsheets_do(path: Path, text: str, rows: int) -> None:
    assert counted(path, text).rows == rows


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.lists(CELL, min_size=2, max_size=2), max_size=6),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from([3, 16, 1 << 20]),
)
def test_the_count_is_that_of_python_and_of_polars_told_of_quotes(
    path: Path, rows: list[list[str]], quoting: int, block: int
) -> None:
    file = io.StringIO()
    csv.writer(file, quoting=quoting, lineterminator="\n").writerows([["a", "b"], *rows])  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "BLOCK", block)
        found = counted(path, file.getvalue())
    quote = '"' if found.has_quoted_fields else None
    assert found.rows == len(rows) == pl.read_csv(path, infer_schema=False, quote_char=quote).height


@settings(deadline=None, max_examples=150)
@given(st.text(alphabet='ab",\n', max_size=40), st.sampled_from([3, 1 << 20]))
def test_whatever_the_quotes_the_count_is_that_of_python(path: Path, body: str, block: int) -> None:
    text = "a,b\n" + body
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "BLOCK", block)
        try:
            expected = len(list(csv.reader(io.StringIO(text, newline=""), strict=True))) - 1
        except csv.Error:  # a quote is never closed, or something follows a closing one
            with suppress(DataError):
                assert counted(path, text).rows == len(list(csv.reader(io.StringIO(text, newline="")))) - 1
        else:
            assert counted(path, text).rows == expected


def test_a_quote_that_is_never_closed_is_found_without_holding_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "BLOCK", 16)
    monkeypatch.setattr(records, "LONGEST_RECORD", 64)
    with pytest.raises(DataError, match="opens a field of row 2 and is never closed"):
        counted(path, 'a,b\n1,2\n3,"open\n' + "5,6\n" * 100)


def test_packed_files_are_counted_whole(tmp_path: Path) -> None:
    text = INCHES.encode()
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text) + gzip.compress(b"7,g,Pen\n"))
    assert count_csv(tmp_path / "a.csv.gz").rows == 7
    with pa.output_stream(str(tmp_path / "a.csv.zst"), compression="zstd") as file:
        file.write(text)
    assert count_csv(tmp_path / "a.csv.zst").rows == 6
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text)[:-9])
    with pytest.raises(DataError, match=r"b\.csv\.gz cannot be read"):
        count_csv(tmp_path / "b.csv.gz")


def test_lines_and_objects(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text('a\tb\n1\t"x\n2\ty')
    assert count_lines(path).rows == 2
    path.write_text('{"a": 1}\n\n  \n{"a": 2}')
    assert count_objects(path).rows == 2


def test_a_mismatch_names_the_file_and_both_counts() -> None:
    check_rows(Path("a.csv"), Records(6), 6)
    with pytest.raises(DataError, match=r"a\.csv holds 6 rows, and 3 were read"):
        check_rows(Path("a.csv"), Records(6), 3)
