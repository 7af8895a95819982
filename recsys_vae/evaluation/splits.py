"""Splits: what a model may learn from, and what it is asked afterwards."""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.columns import HELD_OUT_MATRICES, ORDER, TRAINING_MATRICES
from recsys_vae.data.features import check_metadata
from recsys_vae.data.histories import check_histories
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.data.purchases import Purchases
from recsys_vae.data.recency import Recency
from recsys_vae.data.sequences import check_order
from recsys_vae.data.signals import signed
from recsys_vae.errors import DataError, UnknownNameError
from recsys_vae.evaluation import entries
from recsys_vae.protocols import Int64Array

PROTOCOLS = ("strong", "temporal", "last-out", "given")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Users who are asked: what the model is shown of them, and what it should find.

    Attributes:
        users: external ids of the rows.
        histories: shown to the model and removed from its lists, shape (n_users, n_items).
        targets: to be found; disjoint from the histories unless the split keeps repeats, shape (n_users, n_items). A
            row may be empty: such users are left out of every mean, and counted.
        metadata: what else models that take it are shown, shape (n_users, n_features); None for nothing.
        dislikes: items known to be disliked, weights above 0, shape (n_users, n_items): shown to models that take them
            and removed from all lists; disjoint from histories and targets. None where the dataset has none.
        disliked_later: items that turn out to be disliked in the part that is held out, likewise; shown to nobody.
        order: the pattern of the histories, its data the places in time, above 0, the least recent the smallest; None
            where the dataset has no order.
        purchases: how often and when the users bought items, for models that go by it; None where nobody has looked.
        recency: how long ago the users were last there, likewise.
    """

    users: IdMap
    histories: csr_array
    targets: csr_array
    metadata: csr_array | None = None
    dislikes: csr_array | None = None
    disliked_later: csr_array | None = None
    order: csr_array | None = None
    purchases: Purchases | None = None
    recency: Recency | None = None

    def __post_init__(self) -> None:
        if self.histories.shape != self.targets.shape or self.histories.shape[0] != len(self.users):
            raise DataError(
                f"Histories {self.histories.shape}, targets {self.targets.shape} and {len(self.users)} user ids differ."
            )
        check_histories(self.histories, self.histories.shape[1])
        check_histories(self.targets, self.targets.shape[1])
        if self.metadata is not None:
            check_metadata(self.metadata, len(self.users), self.metadata.shape[1])
        for name, matrix in self.beside().items():
            _check_beside(name, matrix, self.histories)
        if self.purchases is not None and self.purchases.counts.shape != self.histories.shape:
            raise DataError(f"Purchases have shape {self.purchases.counts.shape}, expected {self.histories.shape}.")
        if self.recency is not None and len(self.recency) != len(self.users):
            raise DataError(f"Recency is of {len(self.recency)} users, expected {len(self.users)}.")

    def beside(self) -> dict[str, csr_array]:
        """The optional matrices over the catalogue that there are, by name."""
        found = {name: getattr(self, name) for name in HELD_OUT_MATRICES}
        return {name: matrix for name, matrix in found.items() if matrix is not None}

    @cached_property
    def shown(self) -> csr_array:
        """All that is known: histories, with weights below 0 where the user dislikes the item."""
        return signed(self.histories, self.dislikes)

    @property
    def hidden(self) -> csr_array:
        """What no list may hold: the pattern of histories and dislikes."""
        return self.histories if self.dislikes is None else csr_array(self.histories + self.dislikes)

    @property
    def n_without_targets(self) -> int:
        """Users with nothing to find."""
        return int(np.count_nonzero(entries.row_lengths(self.targets) == 0))

    def take(self, rows: Int64Array) -> "HeldOut":
        """Some of the users; `rows` ascending."""
        metadata = None if self.metadata is None else self.metadata[rows]
        beside = {name: matrix[rows] for name, matrix in self.beside().items()}
        purchases = None if self.purchases is None else self.purchases[rows]
        taken = HeldOut(self.users.take(rows), self.histories[rows], self.targets[rows], metadata, **beside)
        recency = None if self.recency is None else self.recency[rows]
        return replace(taken, purchases=purchases, recency=recency)

    def onto(self, items: IdMap, others: IdMap) -> "HeldOut":
        """The same over another catalogue, without purchases; entries of items that it lacks are left out.

        Args:
            items: of the columns.
            others: of the columns to be.
        """
        beside = {name: onto_items(matrix, items, others) for name, matrix in self.beside().items()}
        histories, targets = (onto_items(matrix, items, others) for matrix in (self.histories, self.targets))
        return replace(self, histories=histories, targets=targets, purchases=None, **beside)

    def asked(self) -> "HeldOut":
        """Only the users who have something to find."""
        return self.take(np.flatnonzero(entries.row_lengths(self.targets)))

    def overlap(self) -> int:
        """Number of targets that stand in the histories too: 0 in every sound split that keeps no repeats."""
        return int(np.count_nonzero(entries.contains(self.histories, entries.entry_keys(self.targets))))


@dataclass(frozen=True, eq=False)
class Split:
    """One dataset, cut in parts over one item catalogue (the items of the training part).

    Attributes:
        protocol: `strong`, `temporal`, `last-out` or `given`.
        train: what models learn from while hyperparameters are chosen.
        validation: what hyperparameters are chosen on.
        test: what is reported; read once a reported model.
        refit: what the reported model is trained on again once its hyperparameters are chosen, where that is more than
            `train` (`given`: the whole published training file); None where the chosen model is reported as it is.
        counts: users, items and interactions that were left out, by reason, for the summary; interactions are pairs.
        notes: users who are asked, and of whom one should know something: without a history, with a tie.
        windows: of a cut in time, the first moment of `validation` and of `test`, in the unit of the events' order.
        train_dislikes: what the users of `train` are known to dislike by then, weights above 0, of its shape; None
            where the dataset has no dislikes.
        refit_dislikes: likewise of `refit`.
        half_life: days in which an event's weight halves, in all of its matrices; infinite where weights stay.
        train_order: of `train`, as `HeldOut.order`; None where the dataset has no order.
        refit_order: of `refit`, likewise.
    """

    protocol: str
    train: Interactions
    validation: HeldOut
    test: HeldOut
    refit: Interactions | None = None
    counts: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)
    train_dislikes: csr_array | None = None
    refit_dislikes: csr_array | None = None
    half_life: float = math.inf
    train_order: csr_array | None = None
    refit_order: csr_array | None = None

    def __post_init__(self) -> None:
        for part, training in (("train", self.train), ("refit", self.refit)):
            for name, matrix in self.beside(part).items():
                if training is None:
                    raise DataError(f"A split has {part}_{name}, and no part {part!r}.")
                _check_beside(name, matrix, training.matrix)

    def beside(self, part: str) -> dict[str, csr_array]:
        """The optional matrices beside `train` or `refit` that there are, by name."""
        found = {name: getattr(self, f"{part}_{name}") for name in TRAINING_MATRICES}
        return {name: matrix for name, matrix in found.items() if matrix is not None}

    @property
    def training_dislikes(self) -> csr_array | None:
        """What the users of `training_part` dislike."""
        return self.train_dislikes if self.refit is None else self.refit_dislikes

    @property
    def training_part(self) -> Interactions:
        """The widest training part: `refit` where there is one, else `train`. Its items are the catalogue."""
        return self.train if self.refit is None else self.refit

    def part(self, name: str) -> HeldOut:
        """`validation` or `test`, by name."""
        parts = {"validation": self.validation, "test": self.test}
        if name not in parts:
            raise UnknownNameError("part of a split", name, parts)
        return parts[name]


def _check_beside(name: str, matrix: csr_array, histories: csr_array) -> None:
    if name == ORDER:
        check_order(matrix, histories)
        return
    check_histories(matrix, histories.shape[1])
    if matrix.shape != histories.shape:
        raise DataError(f"{name} has shape {matrix.shape}, expected {histories.shape}: one row a user.")


def with_order(split: Split, places: Interactions) -> Split:
    """The split with the order of all its parts.

    Args:
        places: places in time of all pairs, above 0, over users and items of which those of the split are some.
    """
    items = split.train.items

    def ordered(part: HeldOut) -> HeldOut:
        return replace(part, order=order_of(part.histories, part.users, items, places))

    train, refit = split.train, split.refit
    return replace(
        split,
        validation=ordered(split.validation),
        test=ordered(split.test),
        train_order=order_of(train.matrix, train.users, items, places),
        refit_order=None if refit is None else order_of(refit.matrix, refit.users, items, places),
    )


def order_of(matrix: csr_array, users: IdMap, items: IdMap, places: Interactions) -> csr_array:
    """Places of the entries of a matrix, in its pattern.

    Args:
        users: of the rows of the matrix, all of them among those of `places`.
        items: of its columns, likewise.
        places: of at least the matrix's pairs.
    """
    rows, columns = places.users.rows(users.values), places.items.rows(items.values)
    keys = rows[entries.entry_rows(matrix)] * places.n_items + columns[matrix.indices]
    found = entries.find_entries(places.matrix, keys)
    return csr_array((places.matrix.data[found], matrix.indices, matrix.indptr), shape=matrix.shape)


def take_users(interactions: Interactions, rows: Int64Array) -> Interactions:
    """Some users over the same items; `rows` ascending."""
    return Interactions(interactions.matrix[rows], interactions.users.take(rows), interactions.items)


def over_catalogue(interactions: Interactions, columns: Int64Array) -> Interactions:
    """The same users over some of the items; `columns` ascending."""
    items = interactions.items.take(columns)
    return Interactions(entries.keep_columns(interactions.matrix, columns), interactions.users, items)


def onto_items(matrix: csr_array, items: IdMap, others: IdMap) -> csr_array:
    """The same rows over another catalogue, shape (n_rows, len(others)); entries of items that it lacks are left out.

    Args:
        items: of the columns.
        others: of the columns to be.
    """
    if items == others:
        return matrix
    numbers = others.rows(items.values)
    kept = entries.pick(matrix, numbers[matrix.indices] >= 0)
    # Both catalogues ascend by id, so the entries of a row stay in order.
    columns = numbers[kept.indices].astype(kept.indices.dtype)
    return csr_array((kept.data, columns, kept.indptr), shape=(matrix.shape[0], len(others)))


def drop_unlearnable(held_out: HeldOut, training_counts: Int64Array) -> tuple[HeldOut, int]:
    """Drop the targets that no training user has touched, and say how many they were.

    Args:
        training_counts: training users of each item, shape (n_items,).
    """
    learnable = training_counts[held_out.targets.indices] > 0
    targets = entries.pick(held_out.targets, learnable)
    return replace(held_out, targets=targets), int(np.count_nonzero(~learnable))
