"""Damaged files of every format of the field: each is recognised or refused, and every line of it is accounted for.

    python -m tests.benchmarks.reliability_formats --files 100000 [--seed 0]

A made file of `tests/formats` is damaged as logs are (see `reliability_logs`), recognised anew, or read as the format
that it was, and read to its end. The last line of output is JSON.
"""

import argparse
import gzip
import json
import random
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.ingest.formats.catalog import FORMATS, recognise
from pipelines.ingest.formats.format import Format
from pipelines.ingest.formats.peek import Peek
from pipelines.ingest.formats.recognition import Says, look_at
from pipelines.ingest.readers import open_log
from recsys_vae.errors import RecsysError
from tests.benchmarks.reliability_logs import HANGS_AFTER_S, damaged, lines_of, raise_that_it_hangs

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


@dataclass
class Count:
    """What came of it."""

    files: int = 0
    refused: int = 0
    unaccounted: int = 0
    tracebacks: int = 0

    def add(self, seed: int, sample: Sample, folder: Path) -> None:
        """Damage a file by a seed, and read it."""
        chance = random.Random(seed)
        data = damaged(chance, sample.content)
        path = folder / sample.path.with_suffix("" if sample.path.suffix == PACKED else sample.path.suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        says = Says(format=sample.format.name) if chance.random() < 0.5 else None
        self.files += 1
        signal.alarm(HANGS_AFTER_S)
        try:
            recognised = look_at(path, says, role=sample.format.role)
            log = open_log(path, recognised.layout)
            for block in log:
                recognised.rows(block.rows)
            tally = log.tally
            is_right = tally.records + tally.apart == tally.lines
            has_mark = data.startswith((b"\xff\xfe", b"\xfe\xff"))
            self._check(seed, sample, is_right and (has_mark or tally.lines == lines_of(data)))
        except RecsysError as error:
            self.refused += 1
            self._check(seed, sample, len(str(error)) < 2000 and "fault of" not in str(error))
        except Exception:
            self.tracebacks += 1
            print(f"seed {seed}, {sample.path}:", file=sys.stderr)
            traceback.print_exc()
        finally:
            signal.alarm(0)

    def _check(self, seed: int, sample: Sample, is_right: bool) -> None:
        if not is_right:
            self.unaccounted += 1
            print(f"seed {seed}, {sample.path}: rows are not accounted for", file=sys.stderr)


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
    signal.signal(signal.SIGALRM, raise_that_it_hangs)
    made, count = list(samples()), Count()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        for number in range(seed, seed + n_files):
            count.add(number, made[number % len(made)], Path(folder))
    return count


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
