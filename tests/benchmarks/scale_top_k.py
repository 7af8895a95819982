"""Exact top 100 of catalogues that need not fit in memory, beside a full scan and FAISS's approximate indexes.

Item vectors are simulated (`scale_top_k_world`), with norms that follow popularity, and with equal ones, where blocks
by norm leave nothing out. Of each selectivity the lists of `--queries` users, each without 50 items, are compared bit
for bit with a compiled float32 scan of all vectors, mapped by a process of its own. Latencies are of single queries;
beside the time on the clock stands that of the processor, which other work makes less of a difference to. Every part is
recorded as soon as it is measured.

    python -m tests.benchmarks.scale_top_k [--items 10000000] [--queries 10000] [--singles 200]
        [--selectivity 1 ... 0.0001] [--norms popularity uniform] [--faiss ivf ivfpq hnsw] [--faiss-items 1000000]
        [--folder DIR] [--fresh]

IVF and IVF-PQ take about 6 GiB for 10 million items, HNSW hours to build: `--faiss-items` says over how many they are
measured. The last line of output is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from recsys_vae.home import home
from recsys_vae.retrieval.block_writer import write_blocks
from tests.benchmarks.records import existing, record
from tests.benchmarks.scale_top_k_world import NORMS, make_world

BENCHMARK, D, GIB = "scale", 128, 2**30
SELECTIVITIES = (1.0, 0.1, 0.01, 0.001, 0.0001)
APPROXIMATE = ("ivf", "ivfpq", "hnsw")
SCANNED = 30
"""Single queries that a full scan is timed with."""


def run_search(module: str, *arguments: object) -> dict[str, float]:
    """What a process that searches says."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1])) | {"load": round(os.getloadavg()[0], 1)}


def build(folder: Path, n: int, norms: str) -> dict[str, float]:
    """Make vectors and index."""
    make_world(folder, n, D, norms)
    clock, processor = time.perf_counter(), time.process_time()
    write_blocks(folder / "index", np.load(folder / "vectors.npy", mmap_mode="r"))
    return {
        "seconds": round(time.perf_counter() - clock, 1),
        "processor_s": round(time.process_time() - processor, 1),
        "file_gib": round((folder / "index").stat().st_size / GIB, 3),
    }


def compare(folder: Path, selectivity: float, queries: int, singles: int) -> dict[str, Any]:
    """Index and full scan of the same queries."""
    lists = [folder / f"{name}-{os.getpid()}.npz" for name in ("ondisk", "full")]
    common = ("--selectivity", selectivity, "--batched", queries)
    try:
        index = run_search("scale_top_k_search", "ondisk", folder, *common, "--singles", singles, "--lists", lists[0])
        full = run_search(
            "scale_top_k_search", "full", folder, *common, "--singles", min(singles, SCANNED), "--lists", lists[1]
        )
        ours, theirs = (np.load(path) for path in lists)
        equal = all(np.array_equal(ours[name], theirs[name]) for name in ("rows", "scores"))
    finally:
        for path in lists:
            path.unlink(missing_ok=True)
    return {"equal": equal, "index": index, "full": full}


def print_head(*columns: str) -> None:
    """The first lines of a table."""
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def print_rows(found: dict[float, dict[str, Any]]) -> None:
    """A row a selectivity."""
    print_head(
        "selectivity",
        "queries",
        "equal",
        "p50",
        "p99",
        "processor p50",
        "full scan p50",
        "its processor",
        "codes read",
        "rss",
    )
    for selectivity, one in found.items():
        ours, full = one["index"], one["full"]
        times = " | ".join(
            f"{value:,.1f} ms"
            for value in (
                ours["p50_ms"], ours["p99_ms"], ours["p50_processor_ms"], full["p50_ms"], full["p50_processor_ms"]
            )
        )  # fmt: skip
        share, rss = f"{ours['single_read_share']:.2f}", f"{ours['rss_bytes'] / GIB:.2f} GiB"
        print(f"| {selectivity:g} | {ours['queries']:,.0f} | {one['equal']} | {times} | {share} | {rss} |")


def asked_before(name: str) -> float:
    """Queries that a record is of; 0 where there is none."""
    kept = existing(BENCHMARK, name)
    return kept["figures"]["index"]["queries"] if kept else 0


def measure_norms(options: argparse.Namespace, norms: str) -> dict[float, dict[str, Any]]:
    """All selectivities over vectors of such norms."""
    n, folder = options.items, options.folder / f"{options.items}-{norms}"
    name = f"top-k-{n}-{norms}"
    built = record(BENCHMARK, f"{name}-build", lambda: build(folder, n, norms), fresh=options.fresh)["figures"]
    if not (folder / "index").is_file():
        build(folder, n, norms)
    print(
        f"norms by {norms}: index of {built['file_gib']} GiB built in {built['processor_s']} s of a processor",
        flush=True,
    )
    return {
        share: record(
            BENCHMARK,
            f"{name}-{share:g}",
            lambda share=share: compare(folder, share, options.queries, options.singles),  # type: ignore[misc]
            fresh=options.fresh or asked_before(f"{name}-{share:g}") < options.queries,
        )["figures"]
        for share in options.selectivity
    }


def measure_faiss(options: argparse.Namespace) -> None:
    """Print recall, latency and memory of approximate indexes over popular vectors."""
    n = options.faiss_items
    folder = options.folder / f"{n}-{NORMS[0]}"
    print(f"over {n:,} items")
    print_head("index", "recall@100", "p50", "p99", "processor p50", "memory", "built in (processor)")
    for kind in options.faiss:
        make_world(folder, n, D, NORMS[0])
        if not (folder / "index").is_file():
            write_blocks(folder / "index", np.load(folder / "vectors.npy", mmap_mode="r"))
        one = record(
            BENCHMARK,
            f"top-k-{n}-{kind}",
            lambda kind=kind: run_search("scale_top_k_faiss", kind, folder, "--singles", options.singles),  # type: ignore[misc]
            fresh=options.fresh,
        )["figures"]
        times = f"{one['p50_ms']:,.1f} ms | {one['p99_ms']:,.1f} ms | {one['p50_processor_ms']:,.1f} ms"
        sizes = f"{one['rss_bytes'] / GIB:.2f} GiB | {one['build_processor_s']:,.0f} s"
        print(f"| {kind} | {one['recall']:.4f} | {times} | {sizes} |", flush=True)


def main() -> None:
    """Print what was measured, measure what was not, and end in one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--singles", type=int, default=200)
    parser.add_argument("--selectivity", nargs="+", type=float, choices=SELECTIVITIES, default=SELECTIVITIES)
    parser.add_argument("--norms", nargs="*", choices=NORMS, default=list(NORMS))
    parser.add_argument("--faiss", nargs="*", choices=APPROXIMATE, default=list(APPROXIMATE))
    parser.add_argument("--faiss-items", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=home() / "bench-top-k")
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    found: dict[str, dict[float, dict[str, Any]]] = {}
    for norms in options.norms:
        found[norms] = measure_norms(options, norms)
        print_rows(found[norms])
    measure_faiss(options)
    if not found:
        return
    every = [one for rows in found.values() for one in rows.values()]
    first = next(iter(found[options.norms[0]].values()))
    told = {
        "equal": all(one["equal"] for one in every),
        "p50_ms": first["index"]["p50_ms"],
        "p99_ms": first["index"]["p99_ms"],
        "rss_gib": round(max(one["index"]["rss_bytes"] for one in every) / GIB, 2),
        "full_scan_ms": first["full"]["p50_ms"],
    }
    print(json.dumps({"big_top_k": told}))


if __name__ == "__main__":
    main()
