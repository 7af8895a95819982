"""Speed and memory of `recsys ingest` beside plain scripts with pandas and with polars: `make bench-ingest`.

The same log as CSV, CSV.gz, NDJSON and Parquet; whole commands, start, checks, account and quarantine included, by
turns on one machine. The scripts do the same steps by the shortest way: minimum rating, the last event of each user
and item, 5-core, ids as text, sorted by user and time, Parquet. All must leave the same rows. The last line of output
is JSON.

    python -m tests.benchmarks.ingest [--rows 1 3 10] [--repeats 5] [--fresh]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.records import record

PEAK = """
import atexit, os
def peak():
    with open("/proc/self/status") as status, open(os.environ["PEAK"], "w") as file:
        file.write(next(line.split()[1] for line in status if line.startswith("VmHWM")))
atexit.register(peak)
"""
"""What a process says of its own peak (KiB); the system's figure holds that of the process that started it, too."""
FORMATS = ("csv", "csv.gz", "ndjson", "parquet")
PANDAS = """
import sys, pandas as pd
read = {"csv": pd.read_csv, "gz": pd.read_csv, "parquet": pd.read_parquet,
        "ndjson": lambda path: pd.read_json(path, lines=True, dtype=False)}
log = read[sys.argv[1].rpartition(".")[2]](sys.argv[1])
log = log[log["rating"] >= 2]
log = log.sort_values("timestamp", kind="stable").drop_duplicates(["user_id", "item_id"], keep="last")
while True:
    before = len(log)
    log = log[log.groupby("user_id")["item_id"].transform("size") >= 5]
    log = log[log.groupby("item_id")["user_id"].transform("size") >= 5]
    if len(log) == before:
        break
log["user_id"], log["item_id"] = log["user_id"].astype(str), log["item_id"].astype(str)
log["timestamp"] = pd.to_datetime(log["timestamp"], unit="s")
log.sort_values(["user_id", "timestamp"], kind="stable").to_parquet(sys.argv[2], index=False)
"""
POLARS = """
import sys, polars as pl
read = {"csv": pl.scan_csv, "gz": pl.scan_csv, "parquet": pl.scan_parquet, "ndjson": pl.scan_ndjson}
log = read[sys.argv[1].rpartition(".")[2]](sys.argv[1]).filter(pl.col("rating") >= 2)
log = log.sort("timestamp", maintain_order=True)
log = log.unique(["user_id", "item_id"], keep="last", maintain_order=True).collect()
while True:
    before = log.height
    log = log.filter(pl.len().over("user_id") >= 5)
    log = log.filter(pl.len().over("item_id") >= 5)
    if log.height == before:
        break
log = log.with_columns(pl.col("user_id", "item_id").cast(pl.String), pl.from_epoch("timestamp"))
log.sort("user_id", "timestamp", maintain_order=True).write_parquet(sys.argv[2])
"""
OURS = """
import os, sys
os.environ["RECSYS_HOME"] = sys.argv[2]
sys.argv = ["recsys", "ingest", sys.argv[1], "--to", "log", "--overwrite",
            "--min-rating", "2", "--min-user", "5", "--min-item", "5"]
from pipelines.start import main
main()
"""
STAGES = """
import json, sys, time
marks = [("start", time.perf_counter())]
from pathlib import Path
from pipelines.dataset.directory import DatasetDir
from pipelines.ingest.cleaning import CleaningRules
from pipelines.ingest.ingest import Source, ingest
def step(name):
    marks.append((name, time.perf_counter()))
rules = CleaningRules(min_rating=2, min_user=5, min_item=5)
ingest(Source((Path(sys.argv[1]),)), DatasetDir(Path(sys.argv[2]) / "staged"), rules, overwrite=True, step=step)
step("end")
print(json.dumps({name: round(after - at, 3) for (name, at), (_, after) in zip(marks, marks[1:])}))
"""


def write_log(folder: Path, rows: int, kind: str, *, text_ids: bool) -> Path:
    """A log of about six events a user, items with a long tail, ratings from half a star to five."""
    path = folder / f"log-{rows}{'-text' if text_ids else ''}.{kind}"
    chance = np.random.default_rng(0)
    log = pl.DataFrame(
        {
            "user_id": chance.integers(0, rows // 6, rows),
            "item_id": (chance.pareto(0.9, rows) * 400).astype(np.int64) % (rows // 30),
            "rating": chance.integers(1, 11, rows) / 2,
            "timestamp": 1_500_000_000 + chance.permutation(rows) * (10**8 // rows),
        }
    )
    if text_ids:
        log = log.with_columns(
            pl.format("u{}x", "user_id").alias("user_id"), pl.format("item-{}", "item_id").alias("item_id")
        )
    if kind.startswith("csv"):
        log.write_csv(path.with_name(path.name.removesuffix(".gz")))
        if kind == "csv.gz":
            subprocess.run(["gzip", "-1", "-k", "-f", str(path.with_suffix(""))], check=True)
    elif kind == "ndjson":
        log.write_ndjson(path)
    else:
        log.write_parquet(path)
    return path


def run(script: str, log: Path, target: Path) -> dict[str, float]:
    """Wall and CPU seconds and peak memory (MiB) of a script of its own process."""
    peak = target.parent / "peak"
    environment = os.environ | {
        "POLARS_MAX_THREADS": str(os.cpu_count()),
        "PYTHONPATH": os.getcwd(),
        "PEAK": str(peak),
    }
    environment.pop("_RJEM_MALLOC_CONF", None)  # polars sets it for its allocator, here too; a shell has none
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what pip installed is compiled already; so is this from then on
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", PEAK + script, str(log), str(target)], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise RuntimeError(f"A script ended with {status}, reading {log}.")
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "peak": int(peak.read_text()) / 1024}


def check_equal(ours: Path, theirs: Path) -> int:
    """The number of rows that both leave, once it is known that they are the same."""
    columns = ["user_id", "item_id", "timestamp"]
    one = (
        pl.read_parquet(ours, columns=columns)
        .with_columns(pl.col("timestamp").dt.replace_time_zone(None))
        .sort(columns)
    )
    other = (
        pl.read_parquet(theirs, columns=columns).with_columns(pl.col("timestamp").cast(pl.Datetime("us"))).sort(columns)
    )
    if not one.equals(other.cast({"user_id": pl.String, "item_id": pl.String})):
        raise AssertionError(f"{ours} and {theirs} hold other rows: {one.height:,} and {other.height:,}.")
    return one.height


def measure(rows: int, kind: str, repeats: int, *, text_ids: bool = False) -> Mapping[str, Any]:
    """Medians of all three, by turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = write_log(folder, rows, kind, text_ids=text_ids)
        found: dict[str, list[dict[str, float]]] = {"ours": [], "pandas": [], "polars": []}
        for _ in range(repeats):
            found["ours"].append(run(OURS, log, folder))
            found["pandas"].append(run(PANDAS, log, folder / "pandas.parquet"))
            found["polars"].append(run(POLARS, log, folder / "polars.parquet"))
        left = check_equal(folder / "datasets" / "log" / "interactions.parquet", folder / "pandas.parquet")
        check_equal(folder / "datasets" / "log" / "interactions.parquet", folder / "polars.parquet")
        staged = subprocess.run(
            [sys.executable, "-c", STAGES, str(log), str(folder)], capture_output=True, text=True, check=True
        )
        medians = {
            who: {what: round(statistics.median(one[what] for one in runs), 3) for what in runs[0]}
            for who, runs in found.items()
        }
        return {"rows_left": left, "repeats": repeats, "stages": json.loads(staged.stdout), **medians}


def main() -> None:
    """Print what was measured, measure what was not, and end in one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 3, 10], help="millions")
    parser.add_argument("--formats", nargs="+", default=FORMATS)
    parser.add_argument("--repeats", type=int, default=5, help="of logs up to 3 million rows; larger ones have 3")
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    figures: dict[tuple[int, str], dict[str, Any]] = {}
    print(f"python {platform.python_version()}, polars {pl.__version__}, {os.cpu_count()} cores\n")
    print("| rows | format | ours | pandas | polars | CPU: ours, pandas, polars | MiB: ours, pandas, polars |")
    print("|---|---|---|---|---|---|---|")
    for millions in options.rows:
        for kind in [*options.formats, *(["csv, ids are text"] if "csv" in options.formats else [])]:
            repeats = options.repeats if millions <= 3 else min(options.repeats, 3)
            form, text_ids = kind.partition(",")[0], "text" in kind
            name = f"{millions}m-{form}{'-text' if text_ids else ''}"
            found = record(
                "ingest", name, lambda m=millions, f=form, r=repeats, t=text_ids: measure(m * 10**6, f, r, text_ids=t),  # type: ignore[misc]
                fresh=options.fresh,
            )["figures"]  # fmt: skip
            figures[millions, kind] = found
            three = [found[who] for who in ("ours", "pandas", "polars")]
            cells = [f"{one['wall']:.2f} s" for one in three]
            cells += [", ".join(f"{one['cpu']:.2f}" for one in three), ", ".join(f"{one['peak']:.0f}" for one in three)]
            print(f"| {millions}M | {kind} | {' | '.join(cells)} |", flush=True)
    print(json.dumps(summary(figures)))


def summary(figures: Mapping[tuple[int, str], Mapping[str, Any]]) -> dict[str, Any]:
    """Ratios of wall time, and rows a second of the largest log of each format."""
    three, ten = figures.get((3, "csv")), figures.get((10, "csv"))
    largest = {kind: max(m for m, k in figures if k == kind) for _, kind in figures}
    return {
        "pandas_ratio_3m": three and round(three["pandas"]["wall"] / three["ours"]["wall"], 2),
        "polars_ratio_3m": three and round(three["polars"]["wall"] / three["ours"]["wall"], 2),
        "pandas_ratio_10m": ten and round(ten["pandas"]["wall"] / ten["ours"]["wall"], 2),
        "peak_share_of_pandas": three and round(three["ours"]["peak"] / three["pandas"]["peak"], 2),
        "rows_per_s": {kind: round(m * 10**6 / figures[m, kind]["ours"]["wall"]) for kind, m in largest.items()},
    }


if __name__ == "__main__":
    main()
