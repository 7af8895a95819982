"""A kind of index in a process of its own, so that memory and time are its own: `measure` starts it twice.

    python -m pipelines.indexing.measuring FOLDER KIND build|search

FOLDER holds `vectors.npy`, `queries.npy`, `seen.npz` and `exact.npy`, the rows of the exact lists. Prints JSON.
"""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array, load_npz

from recsys_vae.errors import RecsysError, RetrievalError
from recsys_vae.extras import is_installed
from recsys_vae.protocols import Index
from recsys_vae.retrieval.faiss_index import IndexReport, build_name
from recsys_vae.retrieval.index_files import ONDISK, file_of, read_index, write_index
from recsys_vae.retrieval.ondisk import OnDiskIndex

SINGLES = 200
"""Queries that are timed, one at a time."""
LEAST_RECALL = 1e-9
"""An index is measured whatever it finds."""


@dataclass(frozen=True)
class Measured:
    """What was measured of a kind of index.

    Attributes:
        kind: flat, ondisk, hnsw, ivf or ivfpq.
        recall: share of the exact lists that it finds.
        min_selectivity: smallest share of allowed items at which it is asked.
        memory_bytes: what a process holds more once it has answered, item vectors included where it needs them.
        file_bytes: on disk.
        build_seconds: to make it.
        p50_ms, p99_ms: of single queries.
    """

    kind: str
    recall: float
    min_selectivity: float
    memory_bytes: int
    file_bytes: int
    build_seconds: float
    p50_ms: float
    p99_ms: float


def measure(folder: Path, kind: str) -> Measured:
    """Build and search an index; its file is removed again.

    Raises:
        RetrievalError: it cannot be built or searched here; the message says why.
    """
    try:
        built, searched = _run(folder, kind, "build"), _run(folder, kind, "search")
        return Measured(kind, **built, **searched)
    finally:
        (folder / file_of(kind)).unlink(missing_ok=True)


def _run(folder: Path, kind: str, step: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "pipelines.indexing.measuring", str(folder), kind, step]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        raise RetrievalError(f"was ended by signal {-done.returncode}, as the system does where memory runs out")
    told = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"error": done.stderr.strip()[-300:]}
    if "error" in told:
        raise RetrievalError(told["error"])
    return dict(told)


def build(folder: Path, kind: str) -> dict[str, float]:
    """Make an index of the folder's vectors."""
    mapped = np.load(folder / "vectors.npy", mmap_mode="r")
    vectors = mapped if kind == ONDISK else np.array(mapped)
    begun = time.perf_counter()
    report = write_index(folder, vectors, kind, queries=np.load(folder / "queries.npy"), min_recall=LEAST_RECALL)
    seconds = time.perf_counter() - begun
    (folder / "report.json").write_text(json.dumps(asdict(report)))
    return {
        "build_seconds": seconds,
        "file_bytes": (folder / file_of(kind)).stat().st_size,
        "min_selectivity": report.min_selectivity,
    }


def search(folder: Path, kind: str) -> dict[str, float]:
    """Ask the index that was made, as bundles open it."""
    queries, seen = np.load(folder / "queries.npy"), csr_array(load_npz(folder / "seen.npz"))
    exact = np.load(folder / "exact.npy")
    if kind != ONDISK and is_installed("faiss"):
        build_name()  # loads FAISS, whose own memory is not the index's
    before = _resident()
    index, k = _opened(folder, kind), exact.shape[1]
    index.search(queries[:1], k, None, csr_array(seen[:1]))
    times = []
    for row in range(min(SINGLES, len(queries))):
        hidden, begun = csr_array(seen[[row]]), time.perf_counter()
        index.search(queries[row : row + 1], k, None, hidden)
        times.append(1000 * (time.perf_counter() - begun))
    found = index.search(queries, k, None, seen).rows
    hits = sum(len(np.intersect1d(a[a >= 0], b)) for a, b in zip(exact, found, strict=True))
    p50, p99 = np.percentile(times, (50, 99))
    return {
        "recall": hits / max(1, int((exact >= 0).sum())),
        "memory_bytes": max(0, _resident() - before),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
    }


def _opened(folder: Path, kind: str) -> Index:
    if kind == ONDISK:
        return OnDiskIndex(folder / file_of(kind))
    report = IndexReport(**json.loads((folder / "report.json").read_bytes()))
    opened: Index = read_index(folder, np.load(folder / "vectors.npy"), report)
    return opened


def _resident() -> int:
    """Bytes of this process that are in memory, mapped files included; 0 where the system does not tell."""
    path = Path("/proc/self/status")
    lines = path.read_text().splitlines() if path.is_file() else []
    return 1024 * next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


def main() -> None:
    """Do one step of one kind."""
    folder, kind, step = sys.argv[1:]
    try:
        told: dict[str, Any] = {"build": build, "search": search}[step](Path(folder), kind)
    except RecsysError as error:
        told = {"error": str(error)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
