"""Break-downs of an evaluation: by length of the list, by length of the history, by popularity of the items."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import ConfigError
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.evaluate import Evaluation, standard_error
from recsys_vae.evaluation.metrics import Float64Array
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.protocols import Int64Array


@dataclass(frozen=True)
class Group:
    """One group of users or items.

    Attributes:
        low: smallest value of what was grouped by: items in the history, or training users of the item.
        high: largest value.
        size: users in the group, or targets that are such items.
        mean: of the metric.
        standard_error: of that mean, over users; NaN below two users.
    """

    low: int
    high: int
    size: int
    mean: float
    standard_error: float

    @property
    def label(self) -> str:
        """`low` or `low to high`."""
        return f"{self.low:,}" if self.low == self.high else f"{self.low:,}\N{EN DASH}{self.high:,}"


@dataclass(frozen=True)
class Point:
    """A mean over users at one length of the list."""

    k: int
    mean: float
    standard_error: float


def recall_by_k(evaluation: Evaluation, held_out: HeldOut, ks: Sequence[int]) -> list[Point]:
    """Recall@k, hits / min(k, relevant), for several k up to `evaluation.depth`.

    Raises:
        ConfigError: a k lies outside 1 .. depth.
    """
    targets = held_out.targets[evaluation.rows]
    rows, relevant = entries.entry_rows(targets), entries.row_lengths(targets)
    points = []
    for k in ks:
        hits = np.bincount(rows[_found(evaluation, k)], minlength=evaluation.n_users)
        values = hits / np.minimum(k, relevant)
        points.append(Point(k, float(values.mean()), standard_error(values)))
    return points


def by_history_length(evaluation: Evaluation, held_out: HeldOut, metric: str, n_groups: int = 5) -> list[Group]:
    """A metric in groups of users with about equally many users each, shortest histories first.

    Raises:
        ConfigError: the metric was not measured, or is not one of single users.
    """
    if metric not in evaluation.per_user:
        raise ConfigError(f"{metric!r} was not measured user by user here; measured: {', '.join(evaluation.per_user)}.")
    values, lengths = evaluation.per_user[metric], entries.row_lengths(held_out.histories)[evaluation.rows]
    groups = quantile_groups(lengths, n_groups)
    return [_group_of_users(lengths[groups == g], values[groups == g]) for g in range(groups.max() + 1)]


def by_item_popularity(
    evaluation: Evaluation, held_out: HeldOut, item_counts: NDArray[np.integer], k: int, n_groups: int = 5
) -> list[Group]:
    """Share of the targets found among the first k, in groups of items, rarest first.

    The groups divide the targets: about equally many in each, items of equal popularity together.

    Args:
        item_counts: training users of each item, shape (n_items,).

    Raises:
        ConfigError: k lies outside 1 .. depth.
    """
    targets = held_out.targets[evaluation.rows]
    rows, found = entries.entry_rows(targets), _found(evaluation, k)
    popularity = np.asarray(item_counts, dtype=np.int64)[targets.indices]
    groups = quantile_groups(popularity, n_groups)
    return [
        _group_of_targets(popularity[groups == g], found[groups == g], rows[groups == g])
        for g in range(groups.max() + 1)
    ]


def quantile_groups(values: Int64Array, n_groups: int) -> Int64Array:
    """Group of each value, 0 for the smallest: about equally many in each, equal values together.

    Where values repeat much there are fewer groups than asked for. Shape of `values`.
    """
    _, place, copies = np.unique(values, return_inverse=True, return_counts=True)
    middle = (np.cumsum(copies) - copies / 2) / len(values)
    groups = (middle * n_groups).astype(np.int64)
    return np.unique(groups, return_inverse=True)[1][place].astype(np.int64)


def _found(evaluation: Evaluation, k: int) -> NDArray[np.bool_]:
    if not 1 <= k <= evaluation.depth:
        raise ConfigError(f"Lists were looked at {evaluation.depth} deep; k = {k} is outside. Evaluate with depth={k}.")
    ranks = evaluation.target_ranks
    return (ranks >= 1) & (ranks <= k)


def _group_of_users(lengths: Int64Array, values: Float64Array) -> Group:
    return Group(int(lengths.min()), int(lengths.max()), len(values), float(values.mean()), standard_error(values))


def _group_of_targets(popularity: Int64Array, found: NDArray[np.bool_], users: Int64Array) -> Group:
    """The standard error is that of a ratio over users: targets of one user are not independent."""
    share = float(found.mean())
    asked, user = np.unique(users, return_inverse=True)
    residuals = np.bincount(user, weights=found - share)
    n = len(asked)
    error = float(np.sqrt((residuals**2).sum() * n / (n - 1)) / len(found)) if n > 1 else float("nan")
    return Group(int(popularity.min()), int(popularity.max()), len(found), share, error)
