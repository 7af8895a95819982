"""Damaged logs, as many as wanted: no traceback, no hang, and every line is a row, in quarantine, or named as neither.

    python -m tests.benchmarks.reliability_logs --files 1000000 [--seed 0]

A log of a few lines is made of a seed, written as CSV, TSV, with `::`, in UTF-16, as JSON lines or an array, and
damaged: bytes are flipped, lost or doubled, quotes, carriage returns, NULs and byte-order marks put in, the end is cut,
the whole is packed. It is read through the readers, in blocks of a few bytes or in one, with compiled loops or without;
one in a hundred goes through a whole ingest. The lines are counted here once more, by no code of the readers. The last
line of output is JSON.
"""

import argparse
import csv
import gzip
import io
import json
import random
import time
from pathlib import Path

from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.ingest import Source, ingest
from pipelines.ingest.readers import Kind, Layout, open_log
from pipelines.ingest.readers.blocks import Tally
from tests.benchmarks.reliability_count import Count, draw_way, lines_of, reading

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
    "UTF-16": (Layout(encoding="utf-16-le"), ".csv"),
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


def packed(chance: random.Random, data: bytes) -> bytes:
    """The same in two members of gzip, with zeros between them."""
    at, padding = chance.randrange(len(data) + 1), bytes(chance.choice([0, 0, 1, 50]))
    return gzip.compress(data[:at], 1) + padding + gzip.compress(data[at:], 1)


class Logs:
    """Logs made of seeds in a folder, and what comes of reading them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, Count()

    def add(self, seed: int) -> None:
        """Make, damage and read the log of a seed."""
        chance = random.Random(seed)
        form = chance.choice(list(FORMS))
        layout, ending = FORMS[form]
        data = damaged(chance, log_of(chance, form))
        path = self.folder / f"log{ending}"
        whole = packed(chance, data) if chance.random() < 0.15 else data
        file = whole if whole is data else damaged(chance, whole)
        path.write_bytes(file)
        draw_way(chance)
        wanted = None if chance.random() < 0.2 else COLUMNS[:4]
        with self.count.of(f"seed {seed}, {form}"):
            log = open_log(path, layout, wanted, numbers=wanted is not None)
            n_rows = sum(block.height for block in log)
            if chance.randrange(WHOLE_INGEST) == 0:
                self._ingest(path, layout, log.tally, f"seed {seed}, ingest")
            has_lines = file == whole and layout.kind is not Kind.JSON_ARRAY and form != "UTF-16"
            self.count.add(log.tally, n_rows, lines_of(data) if has_lines else None, f"seed {seed}, {form}")

    def _ingest(self, path: Path, layout: Layout, tally: Tally, name: str) -> None:
        summary = ingest(Source((path,), layouts={path: layout}), DatasetDir(self.folder / "dataset"), overwrite=True)
        taken = sum(count.rows for count in (*summary.quarantined, *summary.lost))
        adds_up = summary.rows_in == tally.records == summary.kept.interactions + taken
        self.count.check(adds_up and summary.lines == tally.lines == tally.records + summary.lines_apart, name)


def fuzz(n_files: int, seed: int) -> Count:
    """Make, damage and read so many logs."""
    with reading() as folder:
        made = Logs(folder)
        for number in range(seed, seed + n_files):
            made.add(number)
            if made.count.tracebacks > MOST_TRACEBACKS:
                break
        return made.count


def main() -> None:
    """Read as many as were asked for, or as the time allows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first log")
    options = parser.parse_args()
    start = time.perf_counter()
    count = fuzz(options.files, options.seed)
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
