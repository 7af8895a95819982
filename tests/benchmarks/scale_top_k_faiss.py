"""One process that builds and searches an approximate index of FAISS over a catalogue of `scale_top_k_world`.

    python -m tests.benchmarks.scale_top_k_faiss ivf|ivfpq|hnsw FOLDER --singles N

With the settings of bundles; recall is the share of the exact top 100 of the single queries. Prints JSON.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.retrieval.faiss_index import build_index
from recsys_vae.retrieval.ondisk import OnDiskIndex
from tests.benchmarks.scale_top_k_search import K, peak
from tests.benchmarks.scale_top_k_world import excluded

MEASURED_ON = 64
"""Queries that the index is measured with while it is built, as bundles do."""


def main() -> None:
    """Build, search and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--singles", type=int, default=200)
    options = parser.parse_args()
    queries, seen = np.load(options.folder / "queries.npy"), np.load(options.folder / "seen.npy")
    vectors = np.load(options.folder / "vectors.npy")
    clock, processor = time.perf_counter(), time.process_time()
    index = build_index(vectors, options.kind, queries=queries[-MEASURED_ON:], min_recall=1e-9)
    told = {
        "build_s": time.perf_counter() - clock,
        "build_processor_s": time.process_time() - processor,
        "min_selectivity": index.report.min_selectivity,
    }
    hidden = excluded(seen[: options.singles], len(vectors))
    exact = OnDiskIndex(options.folder / "index").search(queries[: options.singles], K, None, hidden).rows
    times, hits = [], 0
    for row in range(options.singles):
        mine = csr_array(hidden[[row]])
        clock, processor = time.perf_counter(), time.process_time()
        found = index.search(queries[row : row + 1], K, None, mine)
        times.append((time.perf_counter() - clock, time.process_time() - processor))
        hits += len(np.intersect1d(found.rows[0], exact[row]))
    p50, p99 = np.percentile(1000 * np.array(times), (50, 99), axis=0)
    told |= {"recall": hits / exact.size, "rss_bytes": peak(), "queries": options.singles}
    told |= {"p50_ms": p50[0], "p99_ms": p99[0], "p50_processor_ms": p50[1], "p99_processor_ms": p99[1]}
    print(json.dumps({name: round(float(value), 4) for name, value in told.items()}))


if __name__ == "__main__":
    main()
