"""Ingest of simulated logs of 1, 10 and more million rows on one machine: rows a second, and the peak of memory.

Each is `recsys ingest` in a process of its own, of Parquet in parts of a million rows; peaks are what the process says
of itself (VmHWM). Beside the time on the clock stands that of the processors, which other work makes less of a
difference to. The last line of output is JSON.

    python -m tests.benchmarks.scale_ingest [--rows 1 10 100] [--fresh]
"""

import argparse
import json
import os
import shutil
import time
from pathlib import Path

from pipelines.sizing.calibration import run_verb
from recsys_vae.home import home
from tests.benchmarks.records import existing, record

BENCHMARK = "scale"
WEIGHTS = ("--event-weight", "view=1", "--event-weight", "cart=2", "--event-weight", "purchase=5", "--keep", "max")
DIRT = ("--bad", "0.002", "--duplicates", "0.003", "--skewed", "0.01")
REPEATS = {1: 3, 10: 2}
"""By millions of rows; the least time counts."""
GIB = 2**30


def measure(millions: int) -> dict[str, float]:
    """Of the ingest of so many million rows."""
    folder = home() / "bench-scale"
    log, rows = folder / f"{millions}m", millions * 10**6
    size = ("--users", str(rows // 20), "--items", str(50_000), "--events", str(rows), "--seed", "7")
    run_verb(home(), "simulate", str(log), *size, *DIRT)
    read = json.loads((log / "truth" / "account.json").read_bytes())["rows"]
    walls, processors, peaks = [], [], []
    for _ in range(REPEATS.get(millions, 1)):
        begun = time.perf_counter()
        seconds, peak = run_verb(
            home(), "ingest", str(log / "events"), "--to", f"{folder}/data-{millions}m", "--overwrite", *WEIGHTS
        )
        walls.append(time.perf_counter() - begun)
        processors.append(seconds)
        peaks.append(peak)
    disk = sum(path.stat().st_size for path in Path(f"{folder}/data-{millions}m").rglob("*") if path.is_file())
    log_bytes = sum(path.stat().st_size for path in (log / "events").iterdir())
    shutil.rmtree(f"{folder}/data-{millions}m")
    if millions > 10:
        shutil.rmtree(log)
    return {
        "rows": read,
        "wall_s": round(min(walls), 2),
        "processor_s": round(min(processors), 2),
        "peak_bytes": max(peaks),
        "log_bytes": log_bytes,
        "dataset_bytes": disk,
        "load": round(os.getloadavg()[0], 1),
    }


def beside() -> dict[str, float | None]:
    """How many times as fast as pandas (10 million rows of CSV), and in processor time as the state before (3 million):
    records of `tests.benchmarks.ingest`.
    """  # fmt: skip
    found = {}
    for name, of, other, kind in (
        ("pandas_speedup_10m", "10m-csv", "pandas", "wall"),
        ("ingest_speedup_today", "3m-csv-by-turns", "ours_before", "cpu"),
    ):
        kept = existing("ingest", of)
        found[name] = round(kept["figures"][other][kind] / kept["figures"]["ours"][kind], 2) if kept else None
    return found


def main() -> None:
    """Print what was measured, measure what was not, and end in one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 10], help="millions")
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    wanted = sorted({*options.rows, *(size for size in (100,) if existing(BENCHMARK, f"ingest-{size}m"))})
    found = {
        f"{size}m": record(BENCHMARK, f"ingest-{size}m", lambda size=size: measure(size), fresh=options.fresh)[
            "figures"
        ]  # type: ignore[misc]
        for size in wanted
    }
    print("| rows | on the clock | of the processors | peak | dataset |")
    print("|---|---|---|---|---|")
    for one in found.values():
        sizes = f"{one['peak_bytes'] / GIB:.2f} GiB | {one['dataset_bytes'] / GIB:.2f} GiB"
        print(f"| {one['rows']:,} | {one['wall_s']:.1f} s | {one['processor_s']:.1f} s | {sizes} |")
    told = beside() | {
        "ingest_rows_per_s": {size: round(one["rows"] / one["wall_s"]) for size, one in found.items()},
        "ingest_rows_per_processor_s": {size: round(one["rows"] / one["processor_s"]) for size, one in found.items()},
        "ingest_peak_gib": {size: round(one["peak_bytes"] / GIB, 2) for size, one in found.items()},
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
