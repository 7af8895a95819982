"""Damaged files of every format of the field: each is recognised or refused, and every line of it is accounted for.

    python -m tests.benchmarks.reliability_formats --files 100000 [--seed 0]

A made file of `tests/formats` is damaged as logs are (see `reliability_logs`), recognised anew, or read as the format
that it was, and read to its end. The last line of output is JSON.
"""

import argparse
import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.ingest.formats.catalog import FORMATS, recognise
from pipelines.ingest.formats.format import Format, as_found
from pipelines.ingest.formats.peek import Peek
from pipelines.ingest.formats.recognition import Says, look_at
from pipelines.ingest.readers import Kind, open_log
from tests.benchmarks.reliability_count import Count, draw_way, lines_of, reading
from tests.benchmarks.reliability_logs import damaged

FOLDER = Path(__file__).parents[1] / "formats"
PACKED = ".gz"


@dataclass(frozen=True)
class Sample:
    """A made file: its path below FOLDER, its content unpacked, and what it is recognised as."""

    path: Path
    content: bytes
    format: Format


def samples() -> Iterator[Sample]:
    """All made files of which the format is told by their looks."""
    for path in sorted(path for path in FOLDER.rglob("*") if path.is_file() and path.name != "README.md"):
        content = gzip.decompress(path.read_bytes()) if path.suffix == PACKED else path.read_bytes()
        if (form := recognise(Peek.at(path))) is not None:
            yield Sample(path.relative_to(FOLDER), content, form)


class Files:
    """Made files, damaged by seeds in a folder, and what comes of reading them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count, self.samples = folder, Count(), list(samples())

    def add(self, seed: int) -> None:
        """Damage a file by a seed, each in turn, and read it."""
        sample, chance = self.samples[seed % len(self.samples)], random.Random(seed)
        data = damaged(chance, sample.content)
        path = self.folder / sample.path.with_suffix("" if sample.path.suffix == PACKED else sample.path.suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        says = Says(format=sample.format.name) if chance.random() < 0.5 else None
        draw_way(chance)
        name = f"seed {seed}, {sample.path}"
        with self.count.of(name):
            recognised = look_at(path, says, role=sample.format.role)
            is_plain = recognised.format is None or recognised.format.rows is as_found
            log = open_log(path, recognised.layout, numbers=is_plain and chance.random() < 0.5)
            n_rows = 0
            for block in log:
                n_rows += block.height
                if block.rows.width:
                    recognised.rows(block.whole())
            is_array = log.layout.kind is Kind.JSON_ARRAY
            self.count.add(log.tally, n_rows, None if is_array else lines_of(data), name)


def formats_read() -> set[str]:
    """Names of the formats of which every made file is recognised and read without a line rejected."""
    read, failed = set[str](), set[str]()
    for sample in samples():
        recognised = look_at(FOLDER / sample.path, role=sample.format.role)
        log = open_log(FOLDER / sample.path, recognised.layout)
        n_rows = sum(recognised.rows(block.rows).height for block in log)
        (read if n_rows and not log.tally.rejected else failed).add(sample.format.name)
    return read - failed


def fuzz(n_files: int, seed: int) -> Count:
    """Damage and read so many files, each format's in turn."""
    with reading() as folder:
        made = Files(folder)
        for number in range(seed, seed + n_files):
            made.add(number)
        return made.count


def main() -> None:
    """Read as many as were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first file")
    options = parser.parse_args()
    count = fuzz(options.files, options.seed)
    print(
        f"{count.files:,} files, of which {count.refused:,} were refused as a whole; {len(FORMATS)} formats are known"
    )
    found = {"files": count.files, "rows_unaccounted": count.unaccounted, "tracebacks": count.tracebacks}
    print(json.dumps(found | {"formats_read": len(formats_read())}))


if __name__ == "__main__":
    main()
