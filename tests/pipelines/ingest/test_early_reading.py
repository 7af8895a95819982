import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from pipelines.cli import build
from pipelines.dataset.directory import DatasetDir
from pipelines.ingest import early_reading
from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.early_logs import EarlyLog
from pipelines.ingest.early_reading import EarlyReading, Header, header_of
from pipelines.ingest.formats.recognition import Says
from pipelines.ingest.ingest import Source, ingest
from pipelines.ingest.log_files import ColumnMap
from pipelines.ingest.readers import Block
from pipelines.ingest.said import Said
from recsys_vae.data.columns import ITEM, USER
from recsys_vae.errors import RecsysError
from recsys_vae.native.tables import tables

pytestmark = pytest.mark.skipif(tables() is None, reason="nothing is compiled here")
HEADER = "user_id,item_id,rating,timestamp,title\n"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_reading, "SMALLEST", 1)
    monkeypatch.setattr(early_reading, "BLOCK", 1 << 10)


def rows(number: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [
        f"u{chance.randrange(9)},{chance.randrange(9)},{chance.randrange(1, 10) / 2},{1_600_000_000 + at},t{at}\n"
        for at in range(number)
    ]


def blocks_of(path: Path, early: EarlyReading | None, **how: Any) -> tuple[list[Block], Any]:
    reader = Source((path,), early=early, **how).log(path).open()
    return list(reader), reader


def joined(blocks: Sequence[Block]) -> pl.DataFrame:
    """All rows as text, with their lines."""
    frames = [
        pl.DataFrame([*block.whole().cast(pl.String).get_columns(), pl.Series("line", block.lines)])
        for block in blocks
        if block.height
    ]
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame()


def check_same(path: Path, *, is_early: bool | None = None, **how: Any) -> None:
    with EarlyReading() as early:
        early.begin([path])
        early_blocks, reader = blocks_of(path, early, **how)
    blocks, other = blocks_of(path, None, **how)
    if is_early is not None:
        assert isinstance(reader._reader, EarlyLog) == is_early
    assert reader.columns == other.columns
    found, wanted = joined(early_blocks), joined(blocks)
    assert_frame_equal(found.select(sorted(found.columns)), wanted.select(sorted(wanted.columns)))
    assert [one for block in early_blocks for one in block.rejected] == [one for b in blocks for one in b.rejected]
    for name in ("lines", "rows", "rejected", "structure", "blank", "continued"):
        assert getattr(reader.tally, name) == getattr(other.tally, name)


@pytest.mark.parametrize(
    "content",
    [
        HEADER + "".join(rows(500)),
        (HEADER + "".join(rows(500))).removesuffix("\n"),
        HEADER
        + "".join(rows(300))
        + 'u1,2,3.5,1600000000,"a, b"\nu1,2,3.5,1600000000,"a\nb"\n'
        + "".join(rows(300, 1)),
        HEADER + "".join(rows(300)) + "u1,2\nu1,2,3.5,1600000000,x,y\n\n" + "".join(rows(300, 1)),
        HEADER + "".join(rows(300)) + 'u1,2,3.5,1600000000,TV 19"\r\n' + "".join(rows(300, 1)),
        HEADER + "".join(rows(300)) + "ñ,2,,1600000000,x\n" + "".join(rows(300, 1)) + "u1,2",
        HEADER + "".join(rows(300)) + f"{'x' * 20_000},2,1.5,1600000000,x\n" + "".join(rows(300, 1)),
        HEADER.replace(",", "\t") + "".join(rows(300)).replace(",", "\t"),
        HEADER,
    ],
    ids=["plain", "no end", "quotes", "other fields", "carriage return", "cut", "a long line", "tabs", "a header"],
)
def test_a_log_is_read_early_as_by_its_reader(tmp_path: Path, content: str) -> None:
    (path := tmp_path / "log.csv").write_text(content, newline="")
    check_same(path, is_early=True)


AS_ONE_COLUMN = Said(tables=Says(separator=","), maps=tuple((None, f"{name}=user_id;item_id") for name in (USER, ITEM)))


@pytest.mark.parametrize(
    ("content", "how"),
    [
        ("user_id;item_id\n" + "1;2\n" * 99, {"said": AS_ONE_COLUMN}),
        ("userId,movieId,rating,timestamp\n" + "1,2,3.5,1600000000\n" * 99, {}),
        ("a,b\n" + "1,2\n" * 99, {"mapping": ColumnMap((("user_id", "a"), ("item_id", "b")))}),
        ("1,2\n" * 99, {"said": Said(tables=Says(header=False, columns=("user_id", "item_id")))}),
        ("user_id,item_id\n" + "1,2\n" * 99 + "é,3\n", {"said": Said(encodings=((None, "latin-1"),))}),
    ],
    ids=["separator", "a known format", "other names", "no header", "encoding"],
)  # fmt: skip
def test_what_is_said_of_a_log_rules(tmp_path: Path, content: str, how: dict[str, Any]) -> None:
    (path := tmp_path / "log.csv").write_text(content)
    check_same(path, **how)


ENDS = st.sampled_from(["", "\n", "\r\n", "\xff"])
LINES = st.lists(
    st.sampled_from(
        ["1,2,3.5,1600000000,t", "1,2,3,1600000000,t", "u,2,3.5,1600000001,", ",,,,", "", "1,2", "1,2,3,4,5,6",
         'a,"b",1.0,1600000000,x', 'a,"b\nc",1.0,1600000000,x', "1,2,1.0,1600000000,TV 19\"", "1,2,x,1600000000,t",
         "1\r", "\0,1,1.0,1,1", "é,1,1.0,1,1", "-1,2,0.5,1600000000000,t"]
    ),
    max_size=40,
)  # fmt: skip


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.integers(0, 60), lines=LINES, after=st.integers(0, 60), end=st.sampled_from(["", "\n", "\r\n", "\xff"])
)
def test_damaged_logs_are_read_early_as_by_their_reader(
    tmp_path: Path, before: int, lines: list[str], after: int, end: str
) -> None:
    path = tmp_path / "log.csv"
    content = HEADER + "".join(rows(before)) + "\n".join(lines) + "\n" * bool(lines) + "".join(rows(after, 1)) + end
    path.write_bytes(content.encode("latin-1" if "\xff" in end else "utf-8"))
    try:
        blocks_of(path, None)
    except RecsysError as refused:
        with EarlyReading() as early:
            early.begin([path])
            with pytest.raises(type(refused)):
                blocks_of(path, early)
        return
    check_same(path)


def test_a_whole_ingest_is_the_same(tmp_path: Path) -> None:
    (path := tmp_path / "log.csv").write_text(HEADER + "".join(rows(2000)) + "1,2\n" + "".join(rows(50, 1)))
    summaries = []
    for name in ("early", "late"):
        with EarlyReading() as early:
            if name == "early":
                early.begin([path])
            rules = CleaningRules(min_rating=2, min_user=2)
            summaries.append(ingest(Source((path,), early=early), DatasetDir(tmp_path / name), rules))
    assert summaries[0].rows_in == summaries[1].rows_in == 2051
    assert (summaries[0].lost, summaries[0].kept) == (summaries[1].lost, summaries[1].kept)
    for table in ("interactions", "losses", "quarantine"):
        one, other = (pl.read_parquet(tmp_path / name / f"{table}.parquet") for name in ("early", "late"))
        assert_frame_equal(one, other)


@pytest.mark.parametrize(
    ("line", "header"),
    [
        ("user_id,item_id\n1,2\n", Header(b",", ("user_id", "item_id"), 16)),
        ("a\tb,c\td\n", Header(b"\t", ("a", "b,c", "d"), 8)),
        ("a;b|c\n", Header(b";", ("a", "b|c"), 6)),
        ("user_id\n1\n", None),
        ("a,b", None),
        ("a,a\n", None),
        ("a,\n", None),
        ('"a",b\n', None),
        ("a,b\r\n", None),
        ("é,b\n", None),
        ("a,b,c,d,e,f,g,h,i\n", None),
        ("", None),
    ],
)
def test_only_plain_headers_are_taken(tmp_path: Path, line: str, header: Header | None) -> None:
    (path := tmp_path / "log").write_text(line, newline="")
    assert header_of(path) == header


def test_nothing_is_begun_of_what_is_no_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_reading, "SMALLEST", 100)
    (path := tmp_path / "log").write_text(HEADER)
    for files in ([], [tmp_path], [tmp_path / "absent"], [path]):
        with EarlyReading() as early:
            early.begin(files)
            assert early.over.is_set()
            assert early.take(path) is None


def test_it_is_left_off_when_nobody_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(table: object, file: int) -> Iterator[int]:
        while True:
            yield 1

    monkeypatch.setattr(early_reading.EarlyTable, "_read", endless)
    (path := tmp_path / "log").write_text(HEADER + "".join(rows(10)))
    with EarlyReading() as early:
        early.begin([path])
        assert not early.over.wait(0.05)
    assert isinstance(early.over, Event)
    assert early.over.is_set()
    table = early.take(path)
    assert table is not None
    assert not table._thread.is_alive()
    assert early.take(path) is None


@pytest.mark.parametrize("others", [["other.csv"], ["other.bin"]], ids=["another log", "no log"])
def test_the_command_ends_where_what_it_reads_early_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(early_reading, "AHEAD", 1)
    monkeypatch.setattr(
        EarlyReading, "begin", lambda self, files, begin=EarlyReading.begin: begin(self, [Path("x.csv")])
    )
    Path("x.csv").write_text(HEADER + "".join(rows(500)))
    Path("other.csv").write_text(HEADER + "".join(rows(50)))
    Path("other.bin").write_bytes(b"PK\x03\x04")
    done = CliRunner().invoke(build("ingest"), ["ingest", *others, "--to", str(tmp_path / "log")])
    assert done.exit_code == (0 if others == ["other.csv"] else 1)


def test_the_command_reads_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    take = EarlyReading.take
    monkeypatch.setattr(EarlyReading, "take", lambda self, path: taken.append(take(self, path)) or taken[-1])
    (path := tmp_path / "log.csv").write_text(HEADER + "".join(rows(500)))
    for options in (["--no-appendable"], ["--overwrite"], ["--append"]):
        done = CliRunner().invoke(build("ingest"), ["ingest", str(path), "--to", str(tmp_path / "log"), *options])
        assert done.exit_code == 0, done.output
        assert len(taken) == (0 if "--append" in options else 1)
        assert all(table.is_whole for table in taken)
        taken.clear()
