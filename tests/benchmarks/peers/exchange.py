"""What the project and its peers hold to: the file of a split, ranked lists, and one line of JSON in, one out.

Both sides import this file, each in its own environment: it needs numpy and scipy alone, of any version.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

K = 100
"""Length of the lists."""


@dataclass(frozen=True, eq=False)
class PeerSplit:
    """A split as the peers see it; all matrices are of ones, as wide as the catalogue.

    Attributes:
        train: what they learn from, shape (n_users, n_items).
        validation_histories, validation_targets: users to choose settings and epochs on.
        test_histories: the users who are asked in the end; their targets stay with the project.
    """

    train: csr_matrix
    validation_histories: csr_matrix
    validation_targets: csr_matrix
    test_histories: csr_matrix


NAMES = tuple(PeerSplit.__dataclass_fields__)


def write_split(split: PeerSplit, path: Path) -> None:
    """Keep a split as one file of arrays."""
    arrays = {"n_items": np.array(split.train.shape[1])}
    for name in NAMES:
        arrays[f"{name}.indptr"] = getattr(split, name).indptr
        arrays[f"{name}.indices"] = getattr(split, name).indices
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.partial.npz")
    np.savez(partial, **arrays)
    partial.replace(path)


def read_split(path: Path) -> PeerSplit:
    """A split from its file."""
    with np.load(path, allow_pickle=False) as arrays:
        width = int(arrays["n_items"])

        def matrix(name: str) -> csr_matrix:
            indptr, indices = arrays[f"{name}.indptr"], arrays[f"{name}.indices"]
            return csr_matrix((np.ones(indices.size, np.float32), indices, indptr), shape=(indptr.size - 1, width))

        return PeerSplit(*(matrix(name) for name in NAMES))


def top_lists(scores: NDArray[np.floating], seen: csr_matrix, k: int = K) -> NDArray[np.int64]:
    """The k best unseen items of each row, best first, ties by item; -1 where none is left, shape (n, k)."""
    masked = np.array(scores, copy=True)
    masked[seen.nonzero()] = -np.inf
    order = np.argsort(-masked, axis=1, kind="stable")[:, :k].astype(np.int64)
    order[np.isneginf(np.take_along_axis(masked, order, axis=1))] = -1
    filled = np.full((order.shape[0], k), -1, dtype=np.int64)
    filled[:, : order.shape[1]] = order
    return filled


def ndcg(lists: NDArray[np.integer], targets: csr_matrix) -> float:
    """Mean NDCG at the lists' length, over the users with targets: what peers choose their epochs on.

    Binary gains, log2 discount, ideal DCG cut at that length, as the project's own metric.
    """
    k = lists.shape[1]
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    relevant = np.diff(targets.indptr)
    asked = np.flatnonzero(relevant)
    hits = np.zeros((asked.size, k), dtype=bool)
    for place, user in enumerate(asked):
        wanted = targets.indices[targets.indptr[user] : targets.indptr[user + 1]]
        hits[place] = np.isin(lists[user], wanted)
    return float(((hits * discounts).sum(axis=1) / ideal[np.minimum(relevant[asked], k)]).mean())


def serve(answer: Callable[[Any], dict[str, Any]]) -> None:
    """Answer each line of JSON on standard input with one on standard output, until the input ends.

    A first line says that all is ready. What libraries print goes to standard error.
    """
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    print(json.dumps({"ready": True}), file=out)
    for line in sys.stdin:
        if line.strip():
            print(json.dumps(answer(json.loads(line))), file=out)
