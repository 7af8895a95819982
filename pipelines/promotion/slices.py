"""Slices: groups of users, or of what they should find, in which a challenger may not be worse."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.fields import Fields
from pipelines.promotion.hold_out import HoldOut
from pipelines.promotion.limits import Limits
from recsys_vae.data.columns import USER
from recsys_vae.data.features import CATEGORY, SET, as_values
from recsys_vae.errors import UnknownNameError
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.breakdown import quantile_groups
from recsys_vae.protocols import Int64Array

ALL_USERS = "all users"
NEW_USERS = "new users"


@dataclass(frozen=True, eq=False)
class Slice:
    """Some of the users who are asked, and what counts as found.

    Attributes:
        name: as tables show it.
        users: their rows in the hold-out.
        targets: of these users, at least one each, shape (len(users), n_items).
    """

    name: str
    users: Int64Array
    targets: csr_array


def slices_of(hold_out: HoldOut, limits: Limits) -> list[Slice]:
    """All users first, then the guarded slices; groups that would be everybody are left out.

    There are fewer groups by history than the limits say where each would have too few users.

    Raises:
        UnknownNameError: a segment is asked for that the dataset does not declare.
    """
    targets = hold_out.asked.targets
    found = [Slice(ALL_USERS, np.arange(hold_out.n_users), targets)]
    groups = (*_by_history(hold_out, limits), *_by_segment(hold_out, limits))
    for name, users in groups:
        if 0 < len(users) < hold_out.n_users:
            found.append(Slice(name, users, targets[users]))
    return [*found, *_by_popularity(hold_out, limits)]


def _by_history(hold_out: HoldOut, limits: Limits) -> Iterator[tuple[str, Int64Array]]:
    lengths = entries.row_lengths(hold_out.asked.histories)
    yield NEW_USERS, np.flatnonzero(lengths == 0)
    old = np.flatnonzero(lengths)
    if old.size:
        groups = quantile_groups(lengths[old], min(limits.history_groups, max(1, old.size // limits.min_users)))
        for group in range(groups.max() + 1):
            users = old[groups == group]
            yield f"history of {_span(lengths[users])}", users


def _by_popularity(hold_out: HoldOut, limits: Limits) -> Iterator[Slice]:
    """Users by what they should find: the same lists, and only targets of some popularity count."""
    targets = hold_out.asked.targets
    popularity = hold_out.item_counts[targets.indices]
    groups = quantile_groups(popularity, limits.popularity_groups)
    if not groups.max():
        return
    for group in range(groups.max() + 1):
        chosen = entries.pick(targets, groups == group)
        users = np.flatnonzero(entries.row_lengths(chosen))
        yield Slice(f"items of {_span(popularity[groups == group])} users", users, chosen[users])


def _by_segment(hold_out: HoldOut, limits: Limits) -> Iterator[tuple[str, Int64Array]]:
    dataset = hold_out.dataset
    declared = {field.name: field.kind for field in Fields.read(dataset.fields_path).users}
    for name in limits.segments or ():
        if name not in declared:
            raise UnknownNameError(f"field of the users of {dataset.name}", name, declared)
    chosen = [name for name, kind in declared.items() if kind in (CATEGORY, SET)]
    chosen = chosen if limits.segments is None else list(limits.segments)
    if not chosen or not dataset.users_path.is_file():
        return
    for name in chosen:
        yield from _values(name, declared[name], _cells(dataset, name, hold_out.asked.users.values), limits)


def _cells(dataset: DatasetDir, name: str, users: pl.Series) -> list[object]:
    table = dataset.table(dataset.users_path)
    if name not in table.collect_schema():
        return [None] * len(users)
    found = pl.LazyFrame({USER: users}).join(table.select(USER, name), on=USER, how="left", maintain_order="left")
    return found.collect()[name].to_list()


def _values(name: str, kind: str, cells: list[object], limits: Limits) -> Iterator[tuple[str, Int64Array]]:
    """The most frequent values of a field, and the users who have them."""
    rows: dict[str, list[int]] = {}
    for row, cell in enumerate(cells):
        for value in as_values(cell, kind):
            rows.setdefault(value, []).append(row)
    frequent = sorted(rows, key=lambda value: (-len(rows[value]), value))[: limits.max_segments]
    for value in frequent:
        yield f"{name} = {value}", np.array(rows[value], dtype=np.int64)


def _span(values: Int64Array) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,}\N{EN DASH}{high:,}"
