"""Erasure: users whose likes and dislikes a model is to forget, as if it had never seen them."""

from pathlib import Path

import numpy as np

from pipelines.dataset.evidence import Taste
from pipelines.ingest.user_lists import read_user_list
from recsys_vae.data.ids import IdMap
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import EmptyDataError
from recsys_vae.evaluation.splits import onto_items

NOBODY = IdMap.from_values([])


def read_erased(path: Path | None) -> IdMap:
    """The users that a file names, an id a line or a table; nobody where there is no file."""
    return NOBODY if path is None else read_user_list(path)


def taste_without(taste: Taste, users: IdMap, items: IdMap | None = None) -> Taste:
    """The same of what users like and dislike.

    Raises:
        EmptyDataError: nobody is left.
    """
    left = without(taste.liked, users, items)
    if left is taste.liked or taste.disliked is None:
        return Taste(left, taste.disliked)
    rows = taste.liked.users.rows(left.users.values)
    return Taste(left, onto_items(taste.disliked[rows], taste.liked.items, left.items))


def without(interactions: Interactions, users: IdMap, items: IdMap | None = None) -> Interactions:
    """Interactions without some users, nor the items that nobody else has touched.

    Args:
        items: that stay all the same.

    Raises:
        EmptyDataError: nobody is left.
    """
    gone = interactions.users.rows(users.values)
    stays = np.ones(interactions.n_users, dtype=np.bool_)
    stays[gone[gone >= 0]] = False
    if stays.all():
        return interactions
    if not stays.any():
        raise EmptyDataError("All users are to be erased: there would be nothing left to learn from.")
    matrix = interactions.matrix[np.flatnonzero(stays)]
    touched_before = interactions.item_counts() > 0
    touched = np.bincount(matrix.indices, minlength=interactions.n_items) > 0
    kept = touched | ~touched_before
    if items is not None:
        kept |= items.rows(interactions.items.values) >= 0
    columns = np.flatnonzero(kept)
    number = np.full(interactions.n_items, -1, dtype=matrix.indices.dtype)
    number[columns] = np.arange(len(columns))
    narrowed = type(matrix)((matrix.data, number[matrix.indices], matrix.indptr), shape=(matrix.shape[0], len(columns)))
    return Interactions(narrowed, interactions.users.take(np.flatnonzero(stays)), interactions.items.take(columns))
