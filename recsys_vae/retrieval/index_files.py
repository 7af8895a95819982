"""The index of a bundle as a file: flat, hnsw, ivf and ivfpq in FAISS's own format, ondisk as a `BlockFile`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from recsys_vae.mapped import Keep, as_made
from recsys_vae.protocols import FactorizedRecommender, Float32Array, VectorsByRows
from recsys_vae.retrieval import faiss_index, flat_file
from recsys_vae.retrieval.block_writer import write_blocks
from recsys_vae.retrieval.exact import TorchIndex
from recsys_vae.retrieval.faiss_index import FaissIndex, IndexReport, build_index, load_index
from recsys_vae.retrieval.ondisk import OnDiskIndex

FAISS_FILE, BLOCKS_FILE = "index.faiss", "index.safetensors"
ONDISK: Final = "ondisk"
KINDS = (*faiss_index.KINDS, ONDISK)
WRITTEN_FIRST, ROWS_AT_ONCE = 1 << 20, 1 << 16
"""Items from which on vectors are written to disk for an index that reads them there; rows of them at a time."""
EXACT = ("flat", ONDISK)
"""Kinds that find the same as a scan of all vectors."""

BundleIndex = FaissIndex | TorchIndex | OnDiskIndex


def check_index(kind: str, min_recall: float) -> None:
    """Check what `write_index` will be asked for; raises as `faiss_index.check_index`."""
    faiss_index.check_index(kind, min_recall, KINDS)


def file_of(kind: str) -> str:
    """Name of the file of an index."""
    return BLOCKS_FILE if kind == ONDISK else FAISS_FILE


@contextmanager
def vectors_for(kind: str, model: FactorizedRecommender, folder: Path) -> Iterator[Float32Array]:
    """Item vectors of a model, to make an index of; mapped where they are many, the index reads them from disk, and the
    model makes some at a time.

    Args:
        folder: where a file of them stands for so long.
    """
    if kind != ONDISK or not isinstance(model, VectorsByRows) or model.n_items < WRITTEN_FIRST:
        yield model.item_vectors()
        return
    place, n = folder / "vectors.partial", model.n_items
    try:
        with place.open("wb") as file:
            for start in range(0, n, ROWS_AT_ONCE):
                file.write(model.some_item_vectors(start, min(start + ROWS_AT_ONCE, n)).data)
        yield np.memmap(place, np.float32, "r", shape=(n, place.stat().st_size // (4 * n)))
    finally:
        place.unlink(missing_ok=True)


def write_index(
    folder: Path, vectors: Float32Array, kind: str, *, queries: Float32Array | None = None, min_recall: float = 0.99
) -> IndexReport:
    """Build an index and write its file into a folder.

    Args:
        folder: of a bundle that is being written.
        vectors: shape (n_items, d) float32.
        kind: one of KINDS.
        queries: shape (n, d), as they will be asked; approximate kinds need them, ondisk orders its blocks by them.
        min_recall: recall@100 that an approximate index must reach on `queries`.

    Raises:
        UnknownNameError: no such kind.
        RetrievalError: an approximate index misses `min_recall`, or there are no queries to measure it with.
    """
    check_index(kind, min_recall)
    if kind == ONDISK:
        write_blocks(folder / BLOCKS_FILE, vectors, queries=queries)
        return IndexReport(ONDISK, 1.0, 0.0)
    index = build_index(vectors, kind, queries=queries, min_recall=min_recall)
    index.save(folder / FAISS_FILE)
    return index.report


def read_index(
    folder: Path, vectors: Float32Array, report: IndexReport, keep: Keep = as_made, *, to_ask: bool = False
) -> BundleIndex:
    """Read what `write_index` wrote; raises as `load_index` and `OnDiskIndex`.

    Args:
        folder: of the bundle.
        vectors: of the items, shape (n_items, d).
        report: what was measured.
        keep: as of `load_index`.
        to_ask: whether the exact scorer will do for a flat one, which is then only compared with the vectors.
    """
    if report.kind == ONDISK:
        return OnDiskIndex(folder / BLOCKS_FILE, vectors)
    if to_ask and report.kind == "flat" and flat_file.holds(folder / FAISS_FILE, vectors):
        return TorchIndex(vectors, keep=keep)
    return load_index(folder / FAISS_FILE, vectors, report, keep, kinds=KINDS)
