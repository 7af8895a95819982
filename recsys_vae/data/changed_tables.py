"""Changed tables: a large table of a dataset, and beside it the rows of the users who came or changed since.

DATASET/
    interactions.parquet            rows by user and order
    repeats.parquet                 likewise, where there are some
    changes/
        touched-N.parquet           users that the append N touched
        interactions-N.parquet      all their rows as they are since, by user and order; likewise repeats
        losses-N.parquet            by how much rows that rules took have changed

What a later append says of a user holds. A dataset is read by way of here, or its changes are folded into the tables
first (`recsys fold`).
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from recsys_vae.data.columns import USER
from recsys_vae.frames import read_table, scan_table

CHANGES = "changes"


def change_files(folder: Path, table: str = "") -> list[Path]:
    """Files of the changes of a dataset, or of one table, the oldest first."""
    found = (folder / CHANGES).glob(f"{table or '*'}-*.parquet")
    return sorted(found, key=lambda path: (int(path.stem.rpartition("-")[2]), path.name))


def scan_changed(folder: Path, table: str) -> pl.LazyFrame | None:
    """The rows of a table sorted by user, as they are now; None where the dataset has no such table."""
    path = folder / f"{table}.parquet"
    base = scan_table(path) if path.is_file() else None
    touched = [read_table(file) for file in change_files(folder, "touched")]
    if not touched:
        return base
    changed = _changed(folder, table, touched)
    if changed is None:
        return base
    changed = changed.sort(USER, maintain_order=True)
    if base is None:
        return changed.lazy()
    everyone = pl.concat(touched).unique()
    return base.join(everyone.lazy(), on=USER, how="anti", maintain_order="left").merge_sorted(changed.lazy(), USER)


def batches(rows: pl.LazyFrame, size: int) -> Iterator[pl.DataFrame]:
    """Rows in their order, so many at a time."""
    for batch in rows.collect_batches(chunk_size=size, maintain_order=True):
        yield from batch.iter_slices(size)


def _changed(folder: Path, table: str, touched: list[pl.DataFrame]) -> pl.DataFrame | None:
    """The rows of users who were touched, of each as the last append left them."""
    frames, later = [], pl.DataFrame(schema={USER: pl.String})
    for users in reversed(list(zip(change_files(folder, "touched"), touched, strict=True))):
        path = users[0].with_name(users[0].name.replace("touched", table))
        if path.is_file():
            frames.append(read_table(path).join(later, on=USER, how="anti", maintain_order="left"))
        later = pl.concat([later, users[1]])
    return pl.concat(frames) if frames else None
