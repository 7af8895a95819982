import csv
import io
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.ingest.readers import Layout, open_log, streams
from pipelines.ingest.readers.layout import BLANKS

Read = tuple[list[tuple[int, tuple[str | None, ...]]], list[tuple[int, str, str]]]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readers") / "log.csv"


def read(path: Path, data: bytes, layout: Layout | None = None, *, block: int = 1 << 23, numbers: bool = False) -> Read:
    """Rows with their lines, and what was rejected."""
    path.write_bytes(data)
    rows: list[tuple[int, tuple[str | None, ...]]] = []
    rejected: list[tuple[int, str, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BLOCK", block)
        patch.setattr(streams, "PACKED", min(block, streams.PACKED))
        log = open_log(path, layout or Layout(), numbers=numbers)
        for found in log:
            texts = found.whole().select(log.columns).cast(str) if found.height else found.rows
            rows += list(zip(found.lines.tolist(), texts.rows(), strict=True))
            rejected += [(one.line, one.raw, one.reason) for one in found.rejected]
    return rows, rejected


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_what_python_reads_is_read(path: Path, ends: str) -> None:
    text = 'a,b,c\n1,TV 19",x\n2,"x, ""y""",\n\n3,"two\nlines",z\n4,"tail" 5,\n6\n7,8,9'
    rows, rejected = read(path, b"\xef\xbb\xbf" + text.replace("\n", ends).encode())
    written = io.StringIO(text.replace("\n", ends), newline="")
    expected = [row + [""] * (3 - len(row)) for row in csv.reader(written) if row][1:]
    assert [[value or "" for value in row] for _, row in rows] == expected
    assert [line for line, _ in rows] == [2, 3, 5, 7, 8, 9]
    assert rejected == []


def test_a_line_that_cannot_be_read_stands_apart_with_its_place(path: Path) -> None:
    data = b'a,b\n1,2,3\n"open,4\n5,\xff\n6,7\n8,"also open\n9'
    assert read(path, data) == (
        [(5, ("6", "7"))],
        [
            (2, "1,2,3", "3 fields where there are 2 columns"),
            (3, '"open,4', "a quote mark opens a field and is never closed"),
            (4, "5,\\xff", "a byte that is no text in the file's encoding"),
            (6, '8,"also open', "a quote mark opens a field and is never closed"),
            (7, "9", "the last line has no line end and 1 of 2 fields: it is cut off"),
        ],
    )


@settings(deadline=None, max_examples=150)
@example('1,"a\n1,"b"\n', [], 3)
@example(',1",\r"\r1', [0], 3)
@given(st.text(alphabet='1a",\n\r', max_size=30), st.lists(st.integers(0, 30), max_size=1), st.sampled_from([3, 11]))
def test_neither_blocks_nor_ways_change_what_is_read(path: Path, body: str, bad: list[int], block: int) -> None:
    data = bytearray(b"a,b\n" + body.encode())
    for at in bad:
        data = data[: 4 + at] + b"\xff" + data[4 + at :]
    whole = read(path, bytes(data))
    assert read(path, bytes(data), block=block) == whole
    assert read(path, bytes(data), numbers=True) == whole
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECSYS_NATIVE", "0")
        assert read(path, bytes(data), numbers=True) == whole


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.lists(st.text(alphabet='ab",\n\r 1', max_size=5), min_size=2, max_size=2), max_size=6),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from([3, 5, 1 << 23]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_python_writes_comes_back(path: Path, cells: list[list[str]], quoting: int, block: int, ends: str) -> None:
    if any(set(cell) & set("\r\n") - set(ends) for row in cells for cell in row):
        quoting = csv.QUOTE_ALL  # Python 3.11 puts no quotes around a line end other than its own
    file = io.StringIO(newline="")
    csv.writer(file, quoting=quoting, lineterminator=ends).writerows([["a", "b"], *cells])  # type: ignore[arg-type]
    rows, rejected = read(path, file.getvalue().encode(), block=block)
    assert rejected == []
    assert [tuple(value or "" for value in row) for _, row in rows] == list(map(tuple, cells))


@pytest.mark.parametrize(
    "text", ["0", "7", "-3", "007", "+1", "-0", "1.5", "1.50", "2.0", ".5", "1e3", "0.0001", "1" * 19, "1.", "٣"]
)
def test_numbers_can_be_had_back_as_text(path: Path, text: str) -> None:
    assert read(path, f"a,b\n{text},x\n".encode(), numbers=True)[0] == [(2, (text, "x"))]


def test_lines_that_begin_as_packed_bytes_do_are_text(path: Path) -> None:
    assert read(path, b"a,b\nx^,1\nx\x01,2\n")[0] == [(2, ("x^", "1")), (3, ("x\x01", "2"))]
    assert read(path, b"a\nx^\n", numbers=True)[0] == [(2, ("x^",))]


def test_a_file_without_a_column_that_is_wanted_has_its_rows_counted(path: Path) -> None:
    path.write_bytes(b'a,b\n1,TV 19"\n"2",3\n4,5\n')
    log = open_log(path, Layout(), ["c"], numbers=True)
    assert sum(block.height for block in log) == log.tally.rows == 3


def test_separators_of_several_characters_and_blanks(path: Path) -> None:
    layout = Layout(separator="::", quote=None, header=False, columns=("a", "b"))
    assert read(path, b"1::x:y\n2::z::3\n", layout) == (
        [(1, ("1", "x:y"))],
        [(2, "2::z::3", "3 fields where there are 2 columns")],
    )
    layout = Layout(separator=BLANKS, header=False, columns=("a", "b"))
    assert read(path, b"  1 \t 2\n3 4 \n", layout)[0] == [(1, ("1", "2")), (2, ("3", "4"))]


def test_other_encodings_and_their_marks(path: Path) -> None:
    assert read(path, "a,b\n1,ñ\n".encode("latin-1"), Layout(encoding="latin-1"))[0] == [(2, ("1", "ñ"))]
    assert read(path, "a,b\n1,ñ\n".encode("utf-16"))[0] == [(2, ("1", "ñ"))]
    assert read(path, b"a,b\n1,\x81\n", Layout(encoding="cp1252"))[1][0][2].startswith("a byte that is no text")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("bad", [b"\xd8\x00", b"\x00\xd8"])
def test_half_a_character_of_16_bits_costs_its_line_and_no_other(path: Path, encoding: str, bad: bytes) -> None:
    before, after = "a,b\n1,".encode(encoding), "\n3,4\n".encode(encoding)
    rows, rejected = read(path, before + bad + after, Layout(encoding=encoding))
    is_half = (bad[0] == 0xD8) == (encoding == "utf-16-be")
    assert rows == [(2, ("1", "Ø"))] * (not is_half) + [(3, ("3", "4"))]
    assert [line for line, _, _ in rejected] == [2] * is_half
    rows, rejected = read(path, before + after + b"x", Layout(encoding=encoding))  # half a character at the end
    assert (len(rows), [line for line, _, _ in rejected]) == (2, [4])


def test_bytes_of_no_character_leave_those_behind_them(path: Path) -> None:
    for encoding, bad in (("utf-7", b"+\xff"), ("shift_jis", b"\x81"), ("iso2022_jp", b"\x1b$"), ("gb18030", b"\xff")):
        rows, rejected = read(path, b"a,b\n1," + bad + b"\n3,4\n", Layout(encoding=encoding))
        assert (rows[-1], [line for line, _, _ in rejected]) == ((3, ("3", "4")), [2]), encoding


def test_a_line_that_is_too_long_is_not_held(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LONGEST_LINE", 1 << 20)
    data = b"a,b\n1,2\n" + b"x" * (5 << 20) + b"\n3,4\n" + b"y" * (2 << 20)
    rows, rejected = read(path, data, block=1 << 18)
    assert rows == [(2, ("1", "2")), (4, ("3", "4"))]
    assert [(line, len(raw), reason) for line, raw, reason in rejected] == [
        (3, 500, "the line is longer than 1 MiB"),
        (5, 500, "the line is longer than 1 MiB"),
    ]


def test_a_file_without_line_ends_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LONGEST_LINE", 1 << 16)
    monkeypatch.setattr(streams, "LONGEST_SKIP", 1 << 18)
    with pytest.raises(streams.DataError, match="line 2 has no end within 0 MiB"):
        read(path, b"a,b\n" + b"0" * (1 << 20), block=1 << 16)
