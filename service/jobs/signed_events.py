"""Signed events of a dataset: what speaks for an item with a weight above 0, what speaks against it with one below.

Of a pair that occurs more than once, or that anything has spoken against, every event lies in `repeats.parquet`; of the
others the interactions, or the dislikes, have one row. All weights are final: ingest has applied the rules of kinds.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from recsys_vae.data.changed_tables import batches, scan_changed
from recsys_vae.data.columns import EVENT_TYPE, INTERACTION_COLUMNS, ITEM, POSITION, TIMESTAMP, USER, WEIGHT

PAIR = (USER, ITEM)
INTERACTIONS, DISLIKES, REPEATS = "interactions", "dislikes", "repeats"
USERS_AT_ONCE = 20_000


def are_several(folder: Path) -> bool:
    """Whether a dataset has events that its interactions do not hold."""
    return any(scan_changed(folder, table) is not None for table in (REPEATS, DISLIKES))


def signed_events(folder: Path, within: tuple[str, str] | None = None) -> pl.LazyFrame:
    """The events, lazily, in the columns of the interactions; by user, least recent first, those without a time first.

    Args:
        folder: of the dataset.
        within: the first and the last of the users who are wanted; all when None.
    """
    return _unordered(folder, within).sort(USER, TIMESTAMP, POSITION, maintain_order=True)


def number_of_events(folder: Path) -> int:
    """How many there are."""
    return int(_unordered(folder, None).select(pl.len()).collect(engine="streaming").item())


def by_ranges(folder: Path, users: pl.Series, size: int) -> Iterator[pl.DataFrame]:
    """Events of these users, who ascend, and of others between them, in pieces of a size; memory holds those of a few
    users.
    """  # fmt: skip
    for start in range(0, len(users), USERS_AT_ONCE):
        some = users.slice(start, USERS_AT_ONCE)
        yield from batches(signed_events(folder, (some[0], some[-1])), size)


def everybody(folder: Path) -> pl.Series:
    """All users who have an event, ascending."""
    found = [scan_changed(folder, table) for table in (INTERACTIONS, DISLIKES, REPEATS)]
    ids = [table.select(pl.col(USER).cast(pl.String).unique()) for table in found if table is not None]
    return pl.concat(ids).collect(engine="streaming")[USER].unique().sort()


def _scan(folder: Path, table: str, within: tuple[str, str] | None) -> pl.LazyFrame | None:
    found = scan_changed(folder, table)
    if found is None:
        return None
    if within is not None:
        found = found.filter(pl.col(USER).is_between(pl.lit(within[0]), pl.lit(within[1])))
    return found.select(INTERACTION_COLUMNS).cast({USER: pl.String, ITEM: pl.String, EVENT_TYPE: pl.String})


def _unordered(folder: Path, within: tuple[str, str] | None) -> pl.LazyFrame:
    liked, disliked, repeats = (_scan(folder, table, within) for table in (INTERACTIONS, DISLIKES, REPEATS))
    once = [] if liked is None else [liked]
    once += [] if disliked is None else [disliked.with_columns(-pl.col(WEIGHT))]
    if repeats is None:
        return pl.concat(once) if once else pl.LazyFrame(schema=dict.fromkeys(INTERACTION_COLUMNS, pl.String))
    rest = [one.join(repeats.select(PAIR).unique(), on=PAIR, how="anti") for one in once]
    return pl.concat([*rest, repeats])
