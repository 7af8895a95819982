"""Damaged logs and files of every format by the million, over as many runs as it takes; native crashes are counted too.

    python -m tests.benchmarks.reliability_long --files 1000000

Of ten files six are the formats' (`reliability_formats`), three are logs that were made (`reliability_logs`), one is
Parquet (`reliability_parquet`). A process of its own reads them (`reliability_watch`). What was counted lies under
`results/reliability`, a record for each state of the readers' sources, and the next run goes on from there. The last
line of output is JSON.
"""

import argparse
import hashlib
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path

from recsys_vae.atomic import write_atomically
from tests.benchmarks.reliability_count import reading
from tests.benchmarks.reliability_formats import Files
from tests.benchmarks.reliability_logs import Logs
from tests.benchmarks.reliability_parquet import Tables
from tests.benchmarks.reliability_watch import COUNTED, Totals, read_on

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "reliability"
SOURCES = ("pipelines/ingest/readers/*.py", "pipelines/ingest/formats/*.py", "recsys_vae/native/tables*")
STUCK_AFTER_S = 600
BATCH = 2_000
"""Files between two writings of the record."""


def sources_hash() -> str:
    """Of the sources that say how a log is read; the first 12 digits of a SHA-256."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in SOURCES for path in ROOT.glob(pattern)):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def read_files(progress: SynchronizedArray, first: int, stop: int) -> None:
    """Read files by number, and tell in `progress` the next one and what was counted."""
    with reading() as folder:
        logs, files, tables = kinds = Logs(folder), Files(folder), Tables(folder)
        turns = (logs, files, files) * 3 + (tables,)
        progress[0] = first
        for number in range(first, stop):
            turns[number % len(turns)].add(number)
            counts = [sum(getattr(kind.count, name) for kind in kinds) for name in COUNTED]
            progress[:] = [number + 1, *counts]


def keep(path: Path, totals: Totals) -> None:
    """Write the record."""
    from tests.benchmarks.records import commit, machine  # brings torch, which the process that reads does without

    content = {
        "figures": asdict(replace(totals, seconds=round(totals.seconds, 1))),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "commit": commit(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Read until there were as many as asked for, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1_000_000, help="In all, those of the record included.")
    options = parser.parse_args()
    path = RESULTS / f"files-{sources_hash()}.json"
    totals = Totals(**json.loads(path.read_text())["figures"]) if path.is_file() else Totals()
    while totals.files < options.files:
        totals = read_on(totals, min(BATCH, options.files - totals.files), read_files, STUCK_AFTER_S)
        keep(path, totals)
        print(f"{totals.files:,} files, {totals.faults} faults, {totals.seconds:,.0f} s", flush=True)
    print(json.dumps(asdict(totals)))


if __name__ == "__main__":
    main()
