"""One day appended to a log, against one ingest of all: `python -m tests.benchmarks.append`.

The log has about six events a user, an item's popularity has a long tail, and the day is the last of so many. Each is
run in a process of its own, by turns, medians of several; the append begins from the same dataset each time. Timed is
the work, and besides the process from start to end, of which the interpreter and its imports are a good part. With and
without a k-core, which looks across all users. Last line: one JSON object.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import dataset_fingerprint
from pipelines.ingest.summary import IngestSummary

SCRIPT = """
import json, sys, time
from pathlib import Path
from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.append import append
from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.ingest import ingest
from pipelines.ingest.log_sources import Source
kind, target, least, *logs = sys.argv[1:]
logs, target = tuple(map(Path, logs)), DatasetDir(Path(target))
start, cpu = time.perf_counter(), time.process_time()
if kind == "append":
    append(logs, target)
else:
    ingest(Source(logs), target, CleaningRules(min_user=int(least), min_item=int(least)), overwrite=True)
print(time.perf_counter() - start, time.process_time() - cpu)
"""


def write_logs(folder: Path, rows: int, days: int, *, text_ids: bool) -> tuple[Path, Path, int]:
    """The log but for its last day, that day, and its rows."""
    chance = np.random.default_rng(0)
    log = pl.DataFrame(
        {
            "user_id": chance.integers(0, rows // 6, rows),
            "item_id": (chance.pareto(0.9, rows) * 400).astype(np.int64) % (rows // 30),
            "rating": chance.integers(1, 11, rows) / 2,
            "timestamp": 1_500_000_000 + np.sort(chance.integers(0, days * 86_400, rows)),
        }
    )
    if text_ids:
        user, item = pl.format("u{}x", "user_id").alias("user_id"), pl.format("item-{}", "item_id").alias("item_id")
        log = log.with_columns(user, item)
    is_last = pl.col("timestamp") >= 1_500_000_000 + (days - 1) * 86_400
    paths = folder / "log.csv", folder / "day.csv"
    log.filter(~is_last).write_csv(paths[0])
    log.filter(is_last).write_csv(paths[1])
    return *paths, log.select(is_last.sum()).item()


def run(kind: str, target: DatasetDir, least: int, *logs: Path) -> tuple[float, float, float]:
    """Seconds of the work, its CPU seconds, and seconds of the process that does it."""
    environment = os.environ | {"PYTHONPATH": os.getcwd(), "POLARS_MAX_THREADS": str(os.cpu_count())}
    command = [sys.executable, "-c", SCRIPT, kind, target.path, str(least), *logs]
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    wall, cpu = map(float, done.stdout.split())
    return wall, cpu, time.perf_counter() - start


def are_equal(one: DatasetDir, other: DatasetDir) -> bool:
    """Whether two datasets hold the same rows, repeats and counts."""
    counted = [json.loads(folder.summary_path.read_text()) | {"dataset": ""} for folder in (one, other)]
    tables = [(folder.interactions().collect(), folder.repeats()) for folder in (one, other)]
    repeats = [None if table is None else table.collect() for _, table in tables]
    same = repeats[0] is None if repeats[1] is None else repeats[0] is not None and repeats[0].equals(repeats[1])
    return (
        counted[0] == counted[1]
        and tables[0][0].equals(tables[1][0])
        and same
        and dataset_fingerprint(one) == dataset_fingerprint(other)
    )


def measure(log: Path, day: Path, repeats: int, least: int) -> dict[str, Any]:
    """Medians of both, by turns."""
    with tempfile.TemporaryDirectory(dir=log.parent) as name:
        base, grown, whole = (DatasetDir(Path(name) / one) for one in ("base", "grown", "whole"))
        run("ingest", base, least, log)
        full, append = [], []
        for _ in range(repeats):
            full.append(run("ingest", whole, least, log, day))
            shutil.rmtree(grown.path, ignore_errors=True)
            shutil.copytree(base.path, grown.path, copy_function=os.link)
            append.append(run("append", grown, least, day))
        medians = {
            kind: [statistics.median(one[number] for one in runs) for number in range(3)]
            for kind, runs in (("full", full), ("append", append))
        }
        again, *_ = run("append", grown, least, day)
        kept = IngestSummary.read(whole.summary_path).kept.interactions
        return {**medians, "again": again, "kept": kept, "equal": are_equal(grown, whole)}


def main() -> None:
    """Measure, and end in one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, default=10, help="millions")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--text-ids", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        log, day, rows = write_logs(Path(name), int(options.rows * 1e6), options.days, text_ids=options.text_ids)
        print(f"{options.rows:g} million rows, {rows:,} of them on the last of {options.days} days\n")
        print("| rules | ingest of all | append | share | of CPU | with start | the day again | interactions | equal |")
        print("|---|---|---|---|---|---|---|---|---|")
        shares, equal = {}, True
        for name_of, least in (("", 1), ("_core", 5)):
            one = measure(log, day, options.repeats, least)
            work, cpu, process = (one["append"][number] / one["full"][number] for number in range(3))
            kinds = {"": work, "_cpu": cpu, "_process": process}
            shares |= {f"append_share{name_of}{kind}": round(share, 4) for kind, share in kinds.items()}
            equal &= one["equal"]
            print(
                f"| {'5-core' if name_of else 'none'} | {one['full'][0]:.2f} s | {one['append'][0]:.2f} s | {work:.1%} "
                f"| {cpu:.1%} | {process:.1%} | {one['again']:.2f} s | {one['kept']:,} | {one['equal']} |",
                flush=True,
            )
    print(json.dumps(shares | {"equal": equal}))


if __name__ == "__main__":
    main()
