"""One process that searches a catalogue of `scale_top_k_world`, so that what it holds in memory is its own.

    python -m tests.benchmarks.scale_top_k_search SCORER FOLDER --singles N --batched N [--selectivity S] [--lists FILE]

SCORER is `ondisk`, the index beside the vectors, or `full`, a compiled float32 scan of the mapped vectors. Prints JSON:
percentiles of single queries on the clock and of the processor, the time of a query in batches, VmHWM.
"""

import argparse
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.native import top_k as compiled
from recsys_vae.protocols import BoolArray, Float32Array, TopK
from recsys_vae.retrieval.ondisk import OnDiskIndex
from tests.benchmarks.scale_top_k_world import allowed, excluded

K, BATCH = 100, 64
Search = Callable[[Float32Array, BoolArray | None, csr_array], TopK]


def scorer(name: str, folder: Path) -> tuple[Search, OnDiskIndex | None]:
    """What searches; the index, too, where it is one."""
    if name == "ondisk":
        index = OnDiskIndex(folder / "index")
        return lambda queries, mask, seen: index.search(queries, K, mask, seen), index
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    return lambda queries, mask, seen: compiled.search(queries, vectors, K, mask, seen), None


def peak() -> int:
    """Most bytes of this process that were in memory."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scorer", choices=("ondisk", "full"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--singles", type=int, default=100)
    parser.add_argument("--batched", type=int, default=1000)
    parser.add_argument("--selectivity", type=float, default=1.0)
    parser.add_argument("--lists", type=Path)
    options = parser.parse_args()
    search, index = scorer(options.scorer, options.folder)
    queries, seen = np.load(options.folder / "queries.npy"), np.load(options.folder / "seen.npy")
    n_items = np.load(options.folder / "vectors.npy", mmap_mode="r").shape[0]
    mask = allowed(n_items, options.selectivity)

    def ask(first: int, count: int) -> tuple[TopK, float, float]:
        hidden = excluded(seen[first : first + count], n_items)
        clock, processor = time.perf_counter(), time.process_time()
        found = search(queries[first : first + count], mask, hidden)
        return found, time.perf_counter() - clock, time.process_time() - processor

    ask(0, 1)
    told: dict[str, float] = {"queries": options.batched}
    if index is not None:
        index.looked_at[:] = 0
    singles = np.array([ask(i, 1)[1:] for i in range(options.singles)]) * 1000
    if index is not None and options.singles:
        told["single_read_share"] = float(index.looked_at[0]) / n_items / options.singles
        told["single_whole_share"] = float(index.looked_at[1]) / n_items / options.singles
        index.looked_at[:] = 0
    batches = [ask(i, min(BATCH, options.batched - i)) for i in range(0, options.batched, BATCH)]
    if options.lists:
        parts = [found for found, _, _ in batches]
        rows, scores = (np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "scores"))
        np.savez(options.lists, rows=rows, scores=scores)
    told["rss_bytes"] = peak()
    if options.singles:
        p50, p99 = np.percentile(singles, (50, 99), axis=0)
        told |= {"p50_ms": p50[0], "p99_ms": p99[0], "p50_processor_ms": p50[1], "p99_processor_ms": p99[1]}
    if batches:
        told |= {"batch_ms": 1000 * sum(one[1] for one in batches) / options.batched}
        told |= {"batch_processor_ms": 1000 * sum(one[2] for one in batches) / options.batched}
    if index is not None and batches:
        told |= {"read_share": float(index.looked_at[0]) / n_items / len(batches)}
        told |= {"exact_a_query": float(index.looked_at[2]) / options.batched}
    print(json.dumps({name: round(float(value), 4) for name, value in told.items()}))


if __name__ == "__main__":
    main()
