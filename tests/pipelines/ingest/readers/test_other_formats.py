import gzip
import json
import lzma
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.ingest.readers import Kind, Layout, Made, Rejected, open_log, streams
from recsys_vae.errors import ConfigError, DataError, EmptyDataError
from recsys_vae.native.tables import tables

LINES, ARRAY = Layout(Kind.JSON_LINES), Layout(Kind.JSON_ARRAY)
VALUES = st.none() | st.booleans() | st.integers(-9, 9) | st.text("a1", max_size=2)
OBJECTS = st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), max_size=5)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats") / "log"


def rejected_of(log: Path, layout: Layout, *wanted: str) -> list[tuple[int, str]]:
    return [(one.line, one.reason) for block in open_log(log, layout, wanted or None) for one in block.rejected]


def read(path: Path, data: bytes, layout: Layout, *wanted: str, block: int = 1 << 20) -> list[dict[str, object]]:
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BLOCK", block)
        patch.setattr(streams, "PACKED", block)
        return [row for block in open_log(path, layout, wanted or None) for row in block.rows.to_dicts()]


def test_every_key_of_every_row_counts(path: Path) -> None:
    data = b'{"a": 1}\n' * 3000 + b'\n{"b": "x", "a": 2.50}'
    assert read(path, data, LINES, "a", "b", "c")[-1] == {"a": "2.5", "b": "x"}
    assert read(path, data, LINES)[-1] == {"a": "2.5", "b": "x"}


def as_texts(path: Path, data: bytes, *wanted: str, numbers: bool) -> tuple[list[object], list[object]]:
    """Rows as text, and what was rejected; an empty text is none, as it is to whoever reads ids or numbers."""
    path.write_bytes(data)
    rows: list[object] = []
    rejected: list[object] = []
    for block in open_log(path, LINES, wanted, numbers=numbers):
        found = block.whole().cast(pl.String).to_dicts() if block.height else []
        rows += [{key: value or None for key, value in row.items()} for row in found]
        rejected += [(one.line, one.reason, one.raw) for one in block.rejected]
    return rows, rejected


PLAIN = st.sampled_from(
    ["1", "-2", "2.5", "0.5", '"x"', '"12"', '""', '"é\\u00e9"', "null", "true", "1e3", "007", "[1]", '"[a"']
)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from(["a", "b", "c", "a b"]), PLAIN), max_size=3), min_size=1, max_size=4),
    st.sampled_from([(",", ":"), (", ", ": "), (" , ", " :\t")]),
    st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from([b"{", b'"', b"\\", b"\xff", b"\0", b"\n", b",", b"9"])),
        max_size=1,
    ),
)
def test_compiled_loops_read_json_lines_as_the_parser_does(
    path: Path, rows: list[list[tuple[str, str]]], marks: tuple[str, str], damage: list[tuple[int, bytes]]
) -> None:
    comma, colon = marks
    lines = ["{" + comma.join(f'"{key}"{colon}{value}' for key, value in row) + "}\n" for row in rows]
    data = "".join(lines).encode()
    for at, byte in damage:
        data = data[:at] + byte + data[at + 1 :]
    if data.strip():
        assert as_texts(path, data, "a", "b", numbers=True) == as_texts(path, data, "a", "b", numbers=False)


def test_usual_json_lines_come_as_numbers(path: Path) -> None:
    path.write_bytes(
        b'{"a": 1, "x": "\\"", "b": 2.5, "c": "u", "y": -1.5}\n{"a": 2, "b": null, "c": "v", "x": false}\n' * 2
    )
    (block,) = open_log(path, LINES, ["a", "b", "c", "d"], numbers=True)
    if tables() is not None:
        assert block.rows.to_dict(as_series=False) == {"a": [1, 2, 1, 2], "b": [2.5, None, 2.5, None]}
        assert list(block.texts) == ["c"]
    assert block.whole()["c"].to_list() == ["u", "v", "u", "v"]


def test_lines_that_are_no_object_stand_apart(path: Path) -> None:
    data = b'{"a": 1}\n[1]\n{"a": \n{"a": [1]}\n{"a": "\xff"}\n{"a": "\\ud800"}\n\n{"a": "\\ud83d\\ude00"}\n{"a": 3'
    assert read(path, data, LINES, "a") == [{"a": "1"}, {"a": "\U0001f600"}]
    assert rejected_of(path, LINES, "a") == [
        (2, "not a JSON object"),
        (3, "not JSON (Expecting value: line 1 column 7 (char 6))"),
        (4, "'a' holds a list, expected one plain value"),
        (5, "a byte that is no text in the file's encoding"),
        (6, "half of a surrogate pair, which is no character"),
        (9, "not JSON (Expecting ',' delimiter: line 1 column 8 (char 7)): the file is cut off"),
    ]


@settings(deadline=None, max_examples=60)
@given(OBJECTS, st.sampled_from([3, 16, 1 << 20]), st.sampled_from([None, 1]))
def test_an_array_is_read_as_its_objects_are_as_lines(
    path: Path, objects: list[dict[str, object]], block: int, indent: int | None
) -> None:
    as_lines = "".join(json.dumps(one) + "\n" for one in objects) or "\n"
    expected = read(path, as_lines.encode(), LINES, "a", "b")
    assert [{k: v for k, v in row.items() if v is not None} for row in expected] == [
        {k: v for k, v in row.items() if v is not None}
        for row in read(path, json.dumps(objects, indent=indent).encode(), ARRAY, "a", "b", block=block)
    ]


def test_values_of_an_array_that_cannot_be_read_stand_apart(path: Path) -> None:
    data = b'\xef\xbb\xbf [{"a": 1},\n {"a": },\n {"a": 2}, 7, {"a": 3}] x'
    assert read(path, data, ARRAY, "a") == [{"a": "1"}, {"a": "2"}, {"a": "3"}]
    assert [line for line, _ in rejected_of(path, ARRAY, "a")] == [2, 3, 3]
    with pytest.raises(DataError, match="is no JSON array"):
        read(path, b'{"a": 1}', ARRAY)


def test_an_array_that_has_no_end_is_told_and_arrays_put_together_are_read(path: Path) -> None:
    end = (1, "the array has no end: the file is cut off")
    for cut in (b'[{"a": 1},{"a": 2}', b'[{"a": 1},{"a": 2},'):
        assert read(path, cut, ARRAY, "a") == [{"a": "1"}, {"a": "2"}]
        assert rejected_of(path, ARRAY, "a") == [end]
    assert read(path, b"[", ARRAY, "a") == []
    assert rejected_of(path, ARRAY, "a") == [end]
    assert read(path, b'[{"a": 1},{"a":', ARRAY, "a") == [{"a": "1"}]
    assert [reason[:8] for _, reason in rejected_of(path, ARRAY, "a")] == ["not JSON"]
    for block in (3, 1 << 20):
        assert read(path, b'[{"a": 1}]\n[]\n[{"a": 2}, {"a": 3}]', ARRAY, "a", block=block) == [
            {"a": "1"}, {"a": "2"}, {"a": "3"},
        ]  # fmt: skip


class Baskets:
    """A user a line, their items after it; a line of `#` is a heading."""

    columns = ("user", "item")

    def __call__(self, lines: pl.Series, numbers: pl.Series) -> Made:
        rows, at, bad, headings = [], [], [], 0
        for line, number in zip(lines, numbers, strict=True):
            user, *items = line.split()
            headings += user == "#" or not items
            if user == "?":
                bad.append(Rejected(number, line, "no user"))
            elif user != "#":
                rows += [(user, item) for item in items]
                at += [number] * len(items)
        return Made(
            pl.DataFrame(rows, schema=dict.fromkeys(self.columns, pl.String), orient="row"),
            pl.Series(at, dtype=pl.UInt64), tuple(bad), headings,
        )  # fmt: skip


def test_a_transformer_makes_rows_of_lines(path: Path) -> None:
    path.write_bytes(b"# x\nu 1 2\n\n? 3\nv\nw 4")
    log = open_log(path, Layout(Kind.LINES, make_transformer=Baskets))
    blocks = list(log)
    assert [row for block in blocks for row in block.rows.rows()] == [("u", "1"), ("u", "2"), ("w", "4")]
    assert [line for block in blocks for line in block.lines.tolist()] == [2, 2, 6]
    assert (log.tally.lines, log.tally.blank, log.tally.structure, log.tally.rejected) == (6, 1, 2, 1)


def test_lines_that_a_transformer_forgets_are_missed(path: Path) -> None:
    class Forgetful(Baskets):
        def __call__(self, lines: pl.Series, numbers: pl.Series) -> Made:
            return super().__call__(lines[1:], numbers[1:])

    path.write_bytes(b"u 1\nv 2\n")
    with pytest.raises(DataError, match="of 2 lines 1 are accounted for"):
        list(open_log(path, Layout(Kind.LINES, make_transformer=Forgetful)))


@pytest.mark.parametrize("padding", [0, 1, 100, 1000])
def test_zeros_between_packed_members_hide_none(path: Path, padding: int) -> None:
    data = gzip.compress(b"a\n1\n") + bytes(padding) + gzip.compress(b"2\n") + bytes(padding)
    assert read(path, data, Layout(), block=64) == [{"a": "1"}, {"a": "2"}]


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_what_is_packed_and_cut_off_is_read_as_far_as_it_goes(path: Path, pack) -> None:  # type: ignore[no-untyped-def]
    text = b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(2000))
    assert len(read(path, pack(text) + pack(b"x,y\n"), Layout())) == 2001
    rows = read(path, pack(text)[:-900], Layout())
    assert 0 < len(rows) < 2000
    reason = rejected_of(path, Layout())[-1][1]
    assert reason == "the rest of the file is lost: the packed file ends too early"


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"", EmptyDataError, "is empty"),
        (b"\n\n", EmptyDataError, "is empty"),
        (streams.LFS_POINTER + b"v1\noid sha256:0\n", DataError, "git lfs pull"),
    ],
)
def test_files_without_a_log_say_what_they_are(path: Path, data: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        read(path, data, Layout())


@pytest.mark.parametrize(
    "options",
    [
        {"separator": ""}, {"separator": "\n"}, {"quote": "ab"}, {"header": False}, {"encoding": "no-such"},
        {"encoding": "hex"}, {"encoding": "idna"}, {"encoding": "undefined"}, {"encoding": "a\0b"},
        {"columns": ("a", "a")}, {"kind": Kind.LINES},
    ],
)  # fmt: skip
def test_a_layout_that_makes_no_sense_is_an_error(options) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError):
        Layout(**options)
