"""MovieLens 1M with its ratings: 3 to 5 are likes with that weight, 1 and 2 dislikes; a strong split.

Held-out users show four fifths of what they like and of what they dislike, both are hidden from their lists, whatever
the model is shown. Measured of each: ndcg@100 of the hidden likes, graded ndcg@20 (a like's gain is its rating), and
dislike@20, the share of the list that is among the hidden dislikes.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.data.signals import shown_to, signed
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.random_splits import strong
from recsys_vae.evaluation.splits import HeldOut, onto_items
from recsys_vae.protocols import Scorer
from recsys_vae.top_k import top_k

LIKED_FROM = 3
SHOWN = 0.8
METRICS = ("ndcg@100", "graded@20", "dislike@20")

Values = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Asked:
    """Held-out users.

    Attributes:
        histories: signed, shape (n, n_items).
        targets: hidden likes, data the rating, shape (n, n_items); no row is empty.
        unwanted: hidden dislikes, shape (n, n_items).
    """

    histories: csr_array
    targets: csr_array
    unwanted: csr_array


@dataclass(frozen=True, eq=False)
class Ratings:
    """The split.

    Attributes:
        train: signed, shape (n_users, n_items).
        validation, test: who is asked.
        positives: of validation, by which training by gradient chooses its epoch.
    """

    train: csr_array
    validation: Asked
    test: Asked
    positives: HeldOut


@cache
def ratings() -> Ratings:
    """Read and cut; seed 0."""
    frame = pl.read_parquet(Path(os.environ["RECSYS_DATA_DIR"]) / "movielens-1m" / "ratings.parquet")
    likes = pl.col("rating") >= LIKED_FROM
    liked = Interactions.from_frame(frame.filter(likes), user="user_id", item="movie_id", weight="rating")
    against = Interactions.from_frame(frame.filter(~likes), user="user_id", item="movie_id", weight="rating")
    split = strong(liked, seed=0)
    rng = np.random.default_rng(0)
    items = split.train.items
    train = signed(split.train.matrix, _of(against, split.train.users, items))
    asked = {name: _asked(split.part(name), items, against, rng) for name in ("validation", "test")}
    return Ratings(train, asked["validation"], asked["test"], split.validation)


def _of(against: Interactions, users: IdMap, items: IdMap) -> csr_array:
    """Dislikes of some users, who may have none, over some items."""
    over = _with_empty_row(onto_items(against.matrix, against.items, items))
    return csr_array(over[against.users.rows(users.values)])


def _with_empty_row(matrix: csr_array) -> csr_array:
    """One row more, which the row -1 is."""
    indptr = np.append(matrix.indptr, matrix.indptr[-1])
    return csr_array((matrix.data, matrix.indices, indptr), shape=(matrix.shape[0] + 1, matrix.shape[1]))


def _asked(part: HeldOut, items: IdMap, against: Interactions, rng: np.random.Generator) -> Asked:
    dislikes = _of(against, part.users, items)
    is_shown = rng.random(dislikes.nnz) < SHOWN
    rows = np.flatnonzero(entries.row_lengths(part.targets))
    histories = signed(part.histories, entries.pick(dislikes, is_shown))
    return Asked(histories[rows], part.targets[rows], entries.pick(dislikes, ~is_shown)[rows])


def measured(model: Scorer, asked: Asked) -> Values:
    """Values of each metric by user."""
    histories = shown_to(model, asked.histories)
    rows = top_k(model.score(histories), 100, excluded=asked.histories).rows
    gains = np.take_along_axis(asked.targets.toarray(), rows, axis=1).astype(np.float64)
    unwanted = np.take_along_axis(asked.unwanted.toarray() > 0, rows[:, :20], axis=1)
    ideal = -np.sort(-asked.targets.toarray().astype(np.float64), axis=1)
    return {
        "ndcg@100": _ndcg(gains > 0, ideal > 0, 100),
        "graded@20": _ndcg(gains, ideal, 20),
        "dislike@20": unwanted.mean(axis=1),
    }


def _ndcg(gains: NDArray[Any], ideal: NDArray[Any], k: int) -> NDArray[np.float64]:
    discounts = 1 / np.log2(np.arange(k) + 2)
    found: NDArray[np.float64] = (gains[:, :k] @ discounts) / (ideal[:, :k] @ discounts)
    return found
