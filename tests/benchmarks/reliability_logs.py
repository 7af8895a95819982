"""Damaged logs, as many as wanted: no traceback, no hang, and every line is a row, in quarantine, or named as neither.

    python -m tests.benchmarks.reliability_logs --files 1000000 [--seed 0]

A log of a few lines is made of a seed, written as CSV, TSV, with `::`, as JSON lines or an array, and damaged: bytes
are flipped, lost or doubled, quotes, carriage returns, NULs and byte-order marks put in, the end is cut, the whole is
packed. It is read through the readers, in blocks of a few bytes or in one, with compiled loops and without; one in a
hundred goes through a whole ingest. The lines are counted here once more, by no code of the readers. The last line of
output is JSON.
"""

import argparse
import csv
import gzip
import io
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from unittest import mock

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.ingest import Source, ingest
from pipelines.ingest.readers import Kind, Layout, open_log, streams
from recsys_vae.errors import RecsysError

HANGS_AFTER_S = 10
MOST_TRACEBACKS = 20
WHOLE_INGEST = 100
COLUMNS = ("user_id", "item_id", "rating", "timestamp", "title")
CELLS = (
    "1",
    "u2",
    "4.5",
    "1600000000",
    'TV 19"',
    "a,b",
    "ñ",
    "",
    " ",
    "12.0",
    "2024-01-01",
    "'",
    "x\ty",
    "\u2028",
    "{}",
)
PIECES = (
    b'"',
    b'""',
    b",",
    b"\t",
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"{",
    b"}",
    b"[",
    b"::",
    b"\\u",
    b"\\ud800",
)
FORMS = {
    "csv": (Layout(), ".csv"),
    "tsv": (Layout(separator="\t", quote=None), ".tsv"),
    "colons": (Layout(separator="::", quote=None), ".csv"),
    "quoted semicolons, Latin-1": (Layout(separator=";", encoding="latin-1"), ".csv"),
    "json lines": (Layout(Kind.JSON_LINES), ".ndjson"),
    "json array": (Layout(Kind.JSON_ARRAY), ".json"),
}


def log_of(chance: random.Random, form: str) -> bytes:
    """A small log, not yet damaged."""
    rows = [[chance.choice(CELLS) for _ in COLUMNS] for _ in range(chance.randrange(8))]
    if form.startswith("json"):
        objects = [json.dumps(dict(zip(chance.sample(COLUMNS, 5), row, strict=True))) for row in rows]
        return "\n".join(objects).encode() if form == "json lines" else f"[{','.join(objects)}]".encode()
    layout = FORMS[form][0]
    if layout.quote is None:
        return "\n".join(layout.separator.join(row) for row in [list(COLUMNS), *rows]).encode()
    file = io.StringIO()
    csv.writer(file, delimiter=layout.separator, lineterminator=chance.choice(["\n", "\r\n", "\r"])).writerows(
        [COLUMNS, *rows]
    )
    return file.getvalue().encode(layout.encoding, "replace")


def damaged(chance: random.Random, data: bytes) -> bytes:
    """The same with some of what happens to files."""
    content = bytearray(data)
    for _ in range(chance.choice([0, 1, 1, 2, 5])):
        at = chance.randrange(len(content) + 1)
        what = chance.randrange(5)
        if what == 0 and at < len(content):
            content[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            del content[at : at + chance.randrange(1, 6)]
        elif what == 2:
            content[at:at] = chance.choice(PIECES)
        elif what == 3:
            content[at:at] = content[at : at + chance.randrange(1, 30)]
        else:
            content = content[:at] if chance.random() < 0.3 else content + chance.choice([b"\n", b"\r", b"\n\n", b""])
    return bytes(content)


def lines_of(data: bytes) -> int:
    """Lines of a text, as editors count them."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text.count(b"\n") + (not text.endswith(b"\n") and text != b"")


class Count:
    """What came of it all."""

    def __init__(self) -> None:
        self.files = self.refused = self.unaccounted = self.tracebacks = self.rows = self.rejected = 0

    def add(self, seed: int, folder: Path) -> None:
        """Make, damage and read the log of a seed."""
        chance = random.Random(seed)
        form = chance.choice(list(FORMS))
        layout, ending = FORMS[form]
        data = damaged(chance, log_of(chance, form))
        path = folder / f"log{ending}"
        packed = chance.random() < 0.15
        path.write_bytes(damaged(chance, gzip.compress(data, 1)) if packed else data)
        self.files += 1
        native = chance.choice("011")
        block = chance.choice([3, 17, 64, *[1 << 20] * 7])
        wanted = None if chance.random() < 0.2 else COLUMNS[:4]
        try:
            signal.alarm(HANGS_AFTER_S)
            with (
                mock.patch.multiple(streams, BLOCK=block, PACKED=block),
                mock.patch.dict(os.environ, RECSYS_NATIVE=native),
            ):
                log = open_log(path, layout, wanted, numbers=wanted is not None)
                for _ in log:
                    pass
                if chance.randrange(WHOLE_INGEST) == 0:
                    source = Source((path,), layouts={path: layout})
                    summary = ingest(source, DatasetDir(folder / "dataset"), overwrite=True)
                    self._check(seed, summary.rows_in == log.tally.records, "ingest")
            tally = log.tally
            self.rows, self.rejected = self.rows + tally.rows, self.rejected + tally.rejected
            self._check(seed, tally.records + tally.apart == tally.lines, form)
            has_mark = data.startswith((b"\xff\xfe", b"\xfe\xff"))
            if not packed and layout.kind is not Kind.JSON_ARRAY and not has_mark:
                self._check(seed, tally.lines == lines_of(data), form)
        except RecsysError as error:
            self.refused += 1
            self._check(seed, len(str(error)) < 2000 and "fault of" not in str(error), str(error)[:200])
        except Exception:
            self.tracebacks += 1
            print(f"seed {seed}, {form}, native {native}, block {block}:", file=sys.stderr)
            traceback.print_exc()
        finally:
            signal.alarm(0)

    def _check(self, seed: int, is_right: bool, what: str) -> None:
        if not is_right:
            self.unaccounted += 1
            print(f"seed {seed}: rows are not accounted for ({what})", file=sys.stderr)


def raise_that_it_hangs(*_: object) -> None:
    """Take SIGALRM."""
    raise TimeoutError(f"a log was read for more than {HANGS_AFTER_S} s")


def fuzz(n_files: int, seed: int, seconds: float = math.inf) -> Count:
    """Make, damage and read so many logs, or as many as the time allows."""
    signal.signal(signal.SIGALRM, raise_that_it_hangs)
    count, start = Count(), time.perf_counter()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        for number in range(seed, seed + n_files):
            count.add(number, Path(folder))
            if time.perf_counter() - start > seconds or count.tracebacks > MOST_TRACEBACKS:
                break
    return count


def main() -> None:
    """Read as many as were asked for, or as the time allows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first log")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after them")
    options = parser.parse_args()
    start = time.perf_counter()
    count = fuzz(options.files, options.seed, options.seconds)
    seconds = time.perf_counter() - start
    print(f"{count.files:,} logs in {seconds:.0f} s: {count.rows:,} rows read, {count.rejected:,} in quarantine")
    print(f"{count.refused:,} logs were refused as a whole")
    print(
        json.dumps(
            {"log_files_fuzzed": count.files, "rows_unaccounted": count.unaccounted, "tracebacks": count.tracebacks}
        )
    )


if __name__ == "__main__":
    main()
