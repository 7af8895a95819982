from pathlib import Path

from tests.benchmarks import reliability_formats
from tests.benchmarks.reliability_logs import Count, lines_of


def test_some_damaged_logs_are_accounted_for(tmp_path: Path) -> None:
    count = Count()
    for seed in range(120):
        count.add(seed, tmp_path)
    assert (count.files, count.tracebacks, count.unaccounted) == (120, 0, 0)
    assert count.rows > 100
    assert count.rejected > 10


def test_lines_are_counted_as_editors_do() -> None:
    assert [lines_of(text) for text in (b"", b"a", b"a\n", b"a\r\nb", b"\xef\xbb\xbfa\rb\r")] == [0, 1, 1, 2, 2]


def test_some_damaged_files_of_every_format_are_accounted_for(tmp_path: Path) -> None:
    made, count = list(reliability_formats.samples()), reliability_formats.Count()
    for seed, sample in enumerate(made):
        count.add(seed, sample, tmp_path)
    assert (count.files, count.tracebacks, count.unaccounted) == (len(made), 0, 0)
    assert reliability_formats.formats_read() == {sample.format.name for sample in made}
    assert len(reliability_formats.formats_read()) > 40
    assert count.files - count.refused > 30
