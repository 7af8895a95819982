"""Lists without a user, and neighbours of items, as tables: what the service answers, of a whole bundle at once."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from recsys_vae.atomic import atomic_file, remove_partials
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.data.columns import ITEM, RANK, SCORE
from recsys_vae.errors import DataError, UnknownNameError
from recsys_vae.outputs import check_output, table_product
from recsys_vae.protocols import Float32Array
from recsys_vae.recommender import FallbackChain
from recsys_vae.top_k import check_k, top_k

LIST, NEIGHBOUR = "list", "neighbour_id"
SIMILAR, TOGETHER = "similar", "bought-together"
KINDS = (SIMILAR, TOGETHER)
LISTS = table_product("a file of lists by `recsys lists`", (LIST, RANK, ITEM, SCORE))
NEIGHBOURS = table_product("a file of neighbours by `recsys neighbours`", (ITEM, RANK, NEIGHBOUR, SCORE))
"""What each job may replace."""
ITEMS_AT_ONCE = 10_000


def list_all(
    bundle: Bundle, to: Path, *, names: Sequence[str] = (), k: int = 100, metadata: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Write the first k items of each list to a Parquet file: list, rank, item_id, score.

    Args:
        to: the file.
        names: of the lists; all that the bundle has when empty.
        k: at least 1.
        metadata: of a segment of users, by field of the bundle's schema; everybody when None.

    Returns:
        Rows by list.

    Raises:
        UnknownNameError: the bundle has no such list.
        DataError: there are metadata, and the bundle does not know what they mean.
    """
    check_k(k)
    to = check_output(to, LISTS)
    lists, schema = bundle.shelves.lists, bundle.tiers.schema
    for name in names:
        if name not in lists.names:
            raise UnknownNameError("list", name, lists.names)
    encoded = None
    if metadata:
        encoded = None if schema is None else schema.encode([dict(metadata)])
        if encoded is None or not encoded.nnz:
            raise DataError(f"{bundle.version} has learned nothing of the segment {dict(metadata)}.")
    tables = []
    for name in dict.fromkeys(names or lists.names):
        scores = lists.scores(name, bundle.popularity, bundle.tiers.segments, encoded)
        rows, found = _best(scores, k, None)
        tables.append(
            pl.DataFrame(
                {
                    LIST: pl.Series([name] * len(rows), dtype=pl.String),
                    RANK: pl.Series(range(1, len(rows) + 1), dtype=pl.Int32),
                    ITEM: bundle.items.values.gather(rows),
                    SCORE: found,
                }
            )
        )
    whole = pl.concat(tables)
    remove_partials(to)
    with atomic_file(to, LISTS) as temporary:
        whole.write_parquet(temporary)
    return dict(whole.group_by(LIST, maintain_order=True).len().iter_rows())


def neighbours_of_all(bundle: Bundle, to: Path, *, kind: str = SIMILAR, k: int = 20) -> int:
    """Write the k neighbours of each item to a Parquet file: item_id, rank, neighbour_id, score; returns its rows.

    Args:
        to: the file.
        kind: `similar` or `bought-together`.
        k: at least 1; of what is bought together there may be fewer.

    Raises:
        UnknownNameError: no such kind.
        DataError: the bundle has no counts of what is bought together.
    """
    check_k(k)
    to = check_output(to, NEIGHBOURS)
    if kind not in KINDS:
        raise UnknownNameError("kind of neighbours", kind, KINDS)
    if kind == TOGETHER and bundle.shelves.neighbours is None:
        raise DataError(f"{bundle.version} has no counts of what is bought together: train it with this version.")
    n_rows, writer = 0, None
    remove_partials(to)
    with atomic_file(to, NEIGHBOURS) as temporary:
        for table in _neighbours(bundle, kind, k):
            arrow = table.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(temporary, arrow.schema, compression="zstd")
            writer.write_table(arrow)
            n_rows += table.height
        if writer is not None:
            writer.close()
    return n_rows


def _neighbours(bundle: Bundle, kind: str, k: int) -> Iterator[pl.DataFrame]:
    chain, items = FallbackChain(bundle), bundle.items.values
    for start in range(0, len(items), ITEMS_AT_ONCE):
        found = [
            (row, *_best(_scores(chain, kind, row), k, row))
            for row in range(start, min(start + ITEMS_AT_ONCE, len(items)))
        ]
        lengths = [len(rows) for _, rows, _ in found]
        yield pl.DataFrame(
            {
                ITEM: items.gather(np.repeat([row for row, _, _ in found], lengths)),
                RANK: pl.Series(np.concatenate([np.arange(1, n + 1) for n in lengths]), dtype=pl.Int32),
                NEIGHBOUR: items.gather(np.concatenate([rows for _, rows, _ in found])),
                SCORE: np.concatenate([scores for _, _, scores in found]),
            }
        )


def _scores(chain: FallbackChain, kind: str, row: int) -> Float32Array:
    if kind == SIMILAR:
        return chain.similarity.scores(row)
    assert chain.bundle.shelves.neighbours is not None
    return chain.bundle.shelves.neighbours.lifts(row)


def _best(scores: Float32Array, k: int, without: int | None) -> tuple[np.ndarray, Float32Array]:
    hidden = None
    if without is not None:
        hidden = csr_array((np.ones(1, np.float32), [without], [0, 1]), shape=(1, len(scores)))
    found = top_k(scores[None, :].copy(), min(k, len(scores)), excluded=hidden)
    kept = found.rows[0] >= 0
    return found.rows[0][kept], found.scores[0][kept]
