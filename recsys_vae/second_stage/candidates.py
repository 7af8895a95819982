"""Candidates: the best items of several models for each user, and what is known of each pair.

    score:MODEL       z-score of the item among all items of the user (`models.blend`)
    rank:MODEL        log of its place among the user's candidates by that model, from 1
    score:mean        mean of the z-scores
    history           log of the number of items that the user likes
    NUMBER            of the item: a column of its metadata, or counted (popularity, age ...)
    NUMBER:history    the same less its mean over the user's history
    VALUE:history     sum over the values v of a column of p(v | item) times the share of v in the user's history
    since:user        log of 1 and the days from the user's last event to the one that the list is made on
    since:item        the same from the item's last event, as the bundle knows of it
    position          of the impression, where there were any; `SERVED_POSITION` whenever lists are made

A model's scores have no scale that another's could be held against, z-scores and places have. The position is there
to explain what was clicked for its place alone: a feature in training that is the same for all items when lists are
made.

Source: Haldar et al., Improving Deep Learning for Airbnb Search, KDD 2020, section 5, and Zhao et al., Recommending
What Video to Watch Next, RecSys 2019, section 4.3, for the position.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.histories import binarise
from recsys_vae.data.recency import Recency, logs_of_days
from recsys_vae.data.signals import liked, shown_to
from recsys_vae.errors import ConfigError
from recsys_vae.models.blend import standardised
from recsys_vae.protocols import Float32Array, Int64Array, Recommender
from recsys_vae.second_stage.item_columns import ItemColumns
from recsys_vae.top_k import mask, select

POSITION, RECENCY = "position", ("since:user", "since:item")
SERVED_POSITION = 1.0
SCORES_AT_ONCE = 1 << 22
"""Scores of one model that are held at once."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Users and items, by user and then by item.

    Attributes:
        users: rows, shape (n,).
        items: rows, shape (n,).
        features: shape (n, n_features), in the order of `Candidates.names`; NaN for what is not known.
    """

    users: Int64Array
    items: Int64Array
    features: Float32Array


@dataclass(frozen=True, eq=False)
class Candidates:
    """What makes candidates and their features, the same in training and whenever lists are made.

    Attributes:
        first: name of the model whose scores are given.
        further: names of the others, and the models, over the same items.
        columns: of the items.
        depth: items of each model, at least 1.
        has_position: whether the position of an impression is a feature.
        last_days: day since 1970 of each item's last event, NaN where there is none, shape (n_items,); None where
            recency is no feature.
    """

    first: str
    further: Sequence[tuple[str, Recommender]]
    columns: ItemColumns
    depth: int = 200
    has_position: bool = False
    last_days: Float32Array | None = None
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise ConfigError(f"The number of candidates of each model is at least 1; got {self.depth}.")
        models = [self.first, *(name for name, _ in self.further)]
        numbers = [text for name in self.columns.numbers for text in (name, f"{name}:history")]
        names = [
            *(f"score:{name}" for name in models), *(f"rank:{name}" for name in models), "score:mean", "history",
            *numbers, *(f"{name}:history" for name in self.columns.shares),
            *(RECENCY if self.has_recency else ()), *[POSITION][: self.has_position],
        ]  # fmt: skip
        object.__setattr__(self, "names", tuple(names))

    @property
    def has_recency(self) -> bool:
        """Whether it counts how long ago users and items had their last events."""
        return self.last_days is not None

    def of(
        self,
        scores: Float32Array,
        histories: csr_array,
        beside: csr_array | None = None,
        recency: Recency | None = None,
    ) -> Pairs:
        """The candidates of some users, none of them in their histories.

        Args:
            scores: of the first model, shape (n, n_items).
            histories: of the same users, which may be signed.
            beside: further pairs that are wanted, shape (n, n_items).
            recency: of the same users; None where nothing is known of it.
        """
        parts = [scores.copy(), *(model.score(shown_to(model, histories)) for _, model in self.further)]
        parts = [standardised(part) for part in parts]
        for part in parts:
            mask(part, excluded=histories)
        n_items, found = scores.shape[1], [] if beside is None else [_keys(beside)]
        for part in parts:
            rows = select(part, min(self.depth, n_items)).rows
            users, places = np.nonzero(rows >= 0)
            found.append(users * n_items + rows[users, places])
        users, items = np.divmod(np.unique(np.concatenate(found)), n_items)
        if beside is not None:
            is_open = np.isfinite(parts[0][users, items])
            users, items = users[is_open], items[is_open]
        features = self._features(parts, liked(histories), users, items, recency or Recency.unknown(len(scores)))
        return Pairs(users, items, features)

    def _features(
        self,
        parts: list[Float32Array],
        histories: csr_array,
        users: Int64Array,
        items: Int64Array,
        recency: Recency,
    ) -> Float32Array:
        scores = np.stack([part[users, items] for part in parts])
        lengths = np.diff(histories.indptr)
        known = binarise(histories)
        found = [
            *scores,
            *(np.log(places_in(users, one)) for one in scores),
            scores.mean(axis=0),
            np.log1p(lengths)[users],
        ]
        for values in self.columns.numbers.values():
            found += [values[items], values[items] - _means(known, values)[users]]
        for shares in self.columns.shares.values():
            found.append(_overlaps(known, shares, users, items))
        if self.last_days is not None:
            now = recency.now[users]
            found += [logs_of_days(now, recency.last[users]), logs_of_days(now, self.last_days[items])]
        if self.has_position:
            found.append(np.full(len(users), SERVED_POSITION))
        return np.stack(found, axis=1).astype(np.float32)


def _keys(matrix: csr_array) -> Int64Array:
    """Number of each entry, row by row."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    keys: Int64Array = rows * matrix.shape[1] + matrix.indices
    return keys


def best_first(users: Int64Array, scores: np.ndarray) -> Int64Array:
    """The order of pairs by user, and then by score; of equal ones as they stand."""
    order: Int64Array = np.lexsort((-scores, users))
    return order


def places_in(lists: Int64Array, scores: np.ndarray) -> Int64Array:
    """Of each pair in its list, from 1 for the highest score; lists ascend."""
    order, numbers = best_first(lists, scores), np.arange(len(lists))
    starts = np.maximum.accumulate(np.where(np.diff(lists, prepend=-1) > 0, numbers, 0))
    places = np.empty(len(lists), dtype=np.int64)
    places[order] = 1 + numbers - starts
    return places


def _means(histories: csr_array, values: Float32Array) -> Float32Array:
    """Mean of a number over each history; NaN where none is known."""
    is_known = np.isfinite(values)
    sums, counts = histories @ np.where(is_known, values, 0), histories @ is_known.astype(np.float32)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _overlaps(histories: csr_array, shares: csr_array, users: Int64Array, items: Int64Array) -> Float32Array:
    """Inner product of the values of each item with those of its user's history."""
    profiles = (histories @ shares).toarray() / np.maximum(np.diff(histories.indptr), 1)[:, None]
    picked = shares[items]
    pairs = np.repeat(np.arange(len(items)), np.diff(picked.indptr))
    found: Float32Array = np.bincount(
        pairs, picked.data * profiles[users[pairs], picked.indices], minlength=len(items)
    ).astype(np.float32)
    return found
