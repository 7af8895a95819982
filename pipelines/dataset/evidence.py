"""Evidence of a dataset's events, by the one rule of `recsys_vae.data.signals`, for training and batch jobs.

Without a half-life the tables hold it as it is: one row a pair that is liked, and one a pair that is disliked. With
one, the weight of a pair depends on all its events, and on the latest of its user.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import encode, row_number
from recsys_vae.data.columns import ITEM, POSITION, TIMESTAMP, USER, WEIGHT
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.data.signals import UNTIMED, SignalRules, disliked, evidence, liked, signed
from recsys_vae.errors import ConfigError
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.splits import HeldOut, Split

_EVENT = (USER, ITEM, WEIGHT, TIMESTAMP, POSITION)


class Taste(NamedTuple):
    """What users like and dislike, as matrices of one shape, weights above 0; None where no rule says the latter."""

    liked: Interactions
    disliked: csr_array | None


def taste_of(dataset: DatasetDir, items: IdMap | None = None, half_life: float = math.inf) -> Taste:
    """Everything that a dataset knows.

    Args:
        items: columns; the items of the interactions when None.
        half_life: days in which an event's weight halves.

    Raises:
        ConfigError: there is a half-life, and no event has a time.
    """
    found = encode(dataset.interactions(), items=items)
    table = dataset.dislikes()
    against = None if table is None else encode(table, found.users, found.items).matrix
    if half_life == math.inf:
        return Taste(found, against)
    return _reweighed(Taste(found, against), Events.of(dataset), half_life)


def with_half_life(split: Split, dataset: DatasetDir, half_life: float) -> Split:
    """A split that holds nothing back by time, its weights made of the events of the pairs that each part knows.

    Raises:
        ConfigError: no event has a time.
    """
    if half_life == math.inf:
        return split
    events = Events.of(dataset)

    def aged(part: Interactions, against: csr_array | None) -> Taste:
        return _reweighed(Taste(part, against), events, half_life)

    def asked(part: HeldOut) -> HeldOut:
        found = aged(Interactions(part.histories, part.users, split.train.items), part.dislikes)
        return replace(part, histories=found.liked.matrix, dislikes=found.disliked)

    train = aged(split.train, split.train_dislikes)
    refit = None if split.refit is None else aged(split.refit, split.refit_dislikes)
    return replace(
        split,
        train=train.liked,
        train_dislikes=train.disliked,
        refit=None if refit is None else refit.liked,
        refit_dislikes=None if refit is None else refit.disliked,
        validation=asked(split.validation),
        test=asked(split.test),
    )


def taste_until(found: Interactions, dataset: DatasetDir, events: pl.LazyFrame, half_life: float) -> Taste:
    """What users like, and dislike by some events of a dataset; with a half-life both weighed by these events."""
    is_signed = dataset.dislikes() is not None
    if half_life == math.inf and not is_signed:
        return Taste(found, None)
    frame, rules = in_order(events.select(_EVENT).collect(engine="streaming")), dataset.signals()
    against = disliked(signed_matrix(frame, found.users, found.items, rules)) if is_signed else None
    if half_life == math.inf:
        return Taste(found, against)
    return _reweighed(Taste(found, against), Events(frame, rules), half_life)


class Events(NamedTuple):
    """Every event of a dataset, those of one user together, least recent first; weights below 0 speak against.

    Attributes:
        frame: `user_id`, `item_id`, `weight`, `timestamp`.
        keep: what stands for several of one pair.
    """

    frame: pl.DataFrame
    rules: SignalRules

    @classmethod
    def of(cls, dataset: DatasetDir) -> "Events":
        """All of a dataset.

        Raises:
            ConfigError: none has a time.
        """
        frame = dataset.signed_events().select(_EVENT).collect(engine="streaming")
        check_times(frame.lazy())
        return cls(in_order(frame), dataset.signals())


def check_times(events: pl.LazyFrame) -> None:
    """Raise ConfigError where a half-life is asked for, and no event has a time."""
    height, untimed = events.select(pl.len(), pl.col(TIMESTAMP).null_count()).collect(engine="streaming").row(0)
    if height and untimed == height:
        raise ConfigError(
            "A half-life needs times, and no event of this dataset has one. Map the column of the log that holds them "
            f"(--map {TIMESTAMP}=...), or leave --history-half-life out."
        )


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Events by user, least recent first: by time, then position, those without time before all others."""
    return frame.sort(USER, TIMESTAMP, POSITION, maintain_order=True)


def signed_matrix(frame: pl.DataFrame, users: IdMap, items: IdMap, rules: SignalRules) -> csr_array:
    """Signed histories of events that are `in_order`, shape (n_users, n_items); items outside are passed over.

    They count for the age of the others all the same.
    """
    known = frame.with_columns(
        row_number(USER, users).alias("row"), row_number(ITEM, items).fill_null(len(items)).alias("column")
    ).drop_nulls("row")
    weights = known[WEIGHT].fill_null(1.0).to_numpy().astype(np.float64)
    times = known[TIMESTAMP].dt.epoch("us").fill_null(UNTIMED).to_numpy()
    rows, columns = (known[name].to_numpy().astype(np.int64) for name in ("row", "column"))
    found = evidence(rows, columns, weights, times, rules)
    there = found.items < len(items)
    cells = (found.weights[there], (found.users[there], found.items[there]))
    matrix = csr_array(cells, shape=(len(users), len(items)), dtype=np.float32)
    matrix.sum_duplicates()
    return matrix


def _reweighed(taste: Taste, events: Events, half_life: float) -> Taste:
    """The same pairs, weighed by their events alone."""
    pattern = signed(taste.liked.matrix, taste.disliked)
    users, items = taste.liked.users, taste.liked.items
    rows, columns = (
        events.frame.select(row_number(name, ids).cast(pl.Int64).fill_null(-1)).to_series().to_numpy()
        for name, ids in ((USER, users), (ITEM, items))
    )
    known = (rows >= 0) & (columns >= 0)
    known[known] = entries.contains(pattern, rows[known] * len(items) + columns[known])
    rules = replace(events.rules, half_life=half_life)
    found = signed_matrix(events.frame.filter(pl.Series(known)), users, items, rules)
    both = Interactions(liked(found), users, items)
    return Taste(both, None if taste.disliked is None else disliked(found))
