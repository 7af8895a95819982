import signal

import pytest

from pipelines.ingest.readers.blocks import Tally
from recsys_vae.errors import DataError
from tests.benchmarks import reliability_formats, reliability_logs
from tests.benchmarks.reliability_count import Count, lines_of, reading
from tests.benchmarks.reliability_parquet import Tables


def test_some_damaged_logs_are_accounted_for() -> None:
    count = reliability_logs.fuzz(120, 0)
    assert (count.files, count.tracebacks, count.unaccounted) == (120, 0, 0)
    assert count.rows > 100
    assert count.rejected > 10


def test_lines_are_counted_as_editors_do() -> None:
    assert [lines_of(text) for text in (b"", b"a", b"a\n", b"a\r\nb", b"\xef\xbb\xbfa\rb\r")] == [0, 1, 1, 2, 2]
    assert lines_of(b"\xff\xfea\0\n\0") is None


def test_some_damaged_files_of_every_format_are_accounted_for() -> None:
    made = list(reliability_formats.samples())
    count = reliability_formats.fuzz(len(made), 0)
    assert (count.files, count.tracebacks, count.unaccounted) == (len(made), 0, 0)
    assert reliability_formats.formats_read() == {sample.format.name for sample in made}
    assert len(reliability_formats.formats_read()) > 40
    assert count.files - count.refused > 30


def test_some_damaged_tables_are_accounted_for() -> None:
    with reading() as folder:
        made = Tables(folder)
        for seed in range(100):
            made.add(seed)
    assert (made.count.files, made.count.tracebacks, made.count.unaccounted) == (100, 0, 0)
    assert made.count.rows > 100
    assert made.count.refused > 30


def test_what_goes_wrong_with_a_file_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    count = Count()
    with reading():
        for fault in (ValueError("a"), DataError("a fault of the reader"), DataError("the file is empty")):
            with count.of("one"):
                raise fault
        with count.of("that hangs"):
            signal.raise_signal(signal.SIGPROF)
        count.add(Tally(lines=3, rows=2), 2, 3, "a line is nowhere")
        count.add(Tally(lines=2, rows=2), 1, 2, "a row did not come out")
        count.add(Tally(lines=2, rows=2), 2, 3, "a line was not seen")
        count.add(Tally(lines=2, rows=2), 2, None, "all is well")
    assert (count.files, count.refused, count.tracebacks, count.unaccounted) == (4, 2, 2, 4)
    assert "a line is nowhere" in capsys.readouterr().err
