"""A catalogue of any size as item vectors, and users' queries, of known law: written in a stream, the same by seed.

    item    norm * unit(0.6 taste + 0.8 unit(noise)),   norm = (1 + rank)^-0.2 * exp(0.1 normal), or 1
    query   unit(tastes weighed by a Dirichlet law + 0.5 unit(noise))

Ranks are those of popularity, in no order of rows. Of 256 tastes, a user has three.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.protocols import Float32Array

N_TASTES, TASTES_OF_A_USER = 256, 3
EXPONENT, SPREAD = 0.2, 0.1
"""Of norms by rank of popularity, and of what comes on top."""
ROWS_AT_ONCE = 2**16
QUERIES, SEEN = 10_000, 50
"""Queries that are made, and items that each of them has seen and may not find."""
NORMS = ("popularity", "uniform")


def make_world(folder: Path, n: int, d: int, norms: str, seed: int = 7) -> None:
    """Write `vectors.npy`, shape (n, d), `queries.npy` and `seen.npy` to a folder, where they are not there yet."""
    if (folder / "seen.npy").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    tastes = _unit(draw.standard_normal((N_TASTES, d), dtype=np.float32))
    ranks = draw.permutation(n)
    out = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, (n, d))
    for start in range(0, n, ROWS_AT_ONCE):
        mine = np.random.default_rng([seed, start])
        rows = ranks[start : start + ROWS_AT_ONCE]
        noise = _unit(mine.standard_normal((len(rows), d), dtype=np.float32))
        found = _unit(0.6 * tastes[mine.integers(0, N_TASTES, len(rows))] + 0.8 * noise)
        if norms == "popularity":
            scale = (1.0 + rows) ** -EXPONENT * np.exp(SPREAD * mine.standard_normal(len(rows)))
            found *= scale.astype(np.float32)[:, None]
        out[start : start + len(rows)] = found
    out.flush()
    weights = draw.dirichlet(np.ones(TASTES_OF_A_USER), QUERIES).astype(np.float32)
    own = tastes[draw.integers(0, N_TASTES, (QUERIES, TASTES_OF_A_USER))]
    mixed = _unit(np.einsum("nt,ntd->nd", weights, own))
    np.save(folder / "queries.npy", _unit(mixed + 0.5 * _unit(draw.standard_normal((QUERIES, d), dtype=np.float32))))
    np.save(folder / "seen.npy", np.sort(draw.integers(0, n, (QUERIES, SEEN)), axis=1))


def excluded(seen: NDArray[np.int64], n: int) -> csr_array:
    """What queries have seen, as `protocols.Index` takes it."""
    rows = np.repeat(np.arange(len(seen)), seen.shape[1])
    found = csr_array((np.ones(seen.size, np.float32), (rows, seen.ravel())), shape=(len(seen), n))
    found.sum_duplicates()
    found.sort_indices()
    return found


def allowed(n: int, selectivity: float) -> NDArray[np.bool_] | None:
    """A share of the items, drawn evenly; None for all."""
    return None if selectivity == 1 else np.random.default_rng(3).random(n) < selectivity


def _unit(vectors: Float32Array) -> Float32Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
