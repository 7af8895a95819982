"""One day appended to a log, against one ingest of all: `python -m tests.benchmarks.append`.

The log has about six events a user, an item's popularity has a long tail, and the day is the last of so many. Both are
run as a user runs them, `recsys ingest`, each in a process of its own, by turns, medians of several. The append begins
from the same dataset each time. With and without a k-core, which looks across all users. Last line: one JSON object.
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
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import dataset_fingerprint
from pipelines.ingest.summary import IngestSummary

CORE = ("--min-user", "5", "--min-item", "5")
CLI = [sys.executable, "-c", "from pipelines.cli import main, own_process; own_process(); main()", "ingest"]


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


def run(arguments: Sequence[str | Path], home: Path) -> float:
    """Seconds that `recsys ingest` takes."""
    environment = os.environ | {"RECSYS_HOME": str(home), "PYTHONPATH": os.getcwd()}
    environment["POLARS_MAX_THREADS"] = str(os.cpu_count())
    start = time.perf_counter()
    subprocess.run([*CLI, *map(str, arguments)], env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


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


def measure(log: Path, day: Path, repeats: int, rules: Sequence[str]) -> dict[str, float | bool]:
    """Medians of both, by turns."""
    with tempfile.TemporaryDirectory(dir=log.parent) as name:
        home = Path(name)
        base, grown = home / "datasets" / "base", DatasetDir(home / "datasets" / "grown")
        run([log, "--to", "base", *rules], home)
        full, append = [], []
        for _ in range(repeats):
            full.append(run([log, day, "--to", "whole", "--overwrite", *rules], home))
            shutil.rmtree(grown.path, ignore_errors=True)
            shutil.copytree(base, grown.path, copy_function=os.link)
            append.append(run([day, "--to", "grown", "--append"], home))
        whole = DatasetDir(home / "datasets" / "whole")
        again = run([day, "--to", "grown", "--append"], home)
        kept = IngestSummary.read(whole.summary_path).kept.interactions
        return {
            "full": statistics.median(full),
            "append": statistics.median(append),
            "again": again,
            "kept": kept,
            "equal": are_equal(grown, whole),
        }


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
        print("| rules | full ingest | append | share | the same day again | interactions | equal |")
        print("|---|---|---|---|---|---|---|")
        found = {}
        for name_of, rules in (("none", ()), ("k-core", CORE)):
            one = found[name_of] = measure(log, day, options.repeats, rules)
            share = one["append"] / one["full"]
            print(
                f"| {name_of} | {one['full']:.2f} s | {one['append']:.2f} s | {share:.1%} | {one['again']:.2f} s "
                f"| {one['kept']:,} | {one['equal']} |",
                flush=True,
            )
    shares = {name: round(one["append"] / one["full"], 4) for name, one in found.items()}
    print(
        json.dumps(
            {
                "append_share": shares["none"],
                "append_share_core": shares["k-core"],
                "equal": all(bool(one["equal"]) for one in found.values()),
            }
        )
    )


if __name__ == "__main__":
    main()
