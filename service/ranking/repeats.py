"""Repeats: scores in which what a user has bought before stands where the bundle's repeat-purchase head puts it.

Only lists that may hold such items ask for them, of bundles with a head; all others have the scores of the chain.
"""

import numpy as np

from recsys_vae import repeats
from recsys_vae.data.histories import HistoryRows
from recsys_vae.data.purchases import Purchases, purchases_of
from recsys_vae.data.signals import UNTIMED
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array
from recsys_vae.recommender import Users
from service.ranking.results import Notice, Query
from service.ranking.served_model import Catalogue
from service.store.user_history import liked_events

HISTORY_WITHOUT_TIMES = Notice(
    "history_without_times",
    "No event of the history has a time: when its items are due is not known, and they are ranked as others are.",
)


def purchases(catalogue: Catalogue, query: Query, history: HistoryRows) -> Purchases | None:
    """What the user of a query has bought, over the catalogue, shape (1, n_items); None where that does not count.

    Purchases are the events that speak for an item, of those that the user does not dislike by now.
    """
    if query.day is None or not catalogue.knows_repeats or query.repeat == "exclude":
        return None
    ids, moments = liked_events(query.events, catalogue.rules)
    rows = catalogue.rows(ids)
    times = np.array([UNTIMED if time is None else time for time in moments], dtype=np.int64)
    known = rows >= 0
    if history.has_dislikes:
        known &= ~np.isin(rows, history.disliked)
    users = np.zeros(int(known.sum()), dtype=np.int64)
    return purchases_of(users, rows[known], times[known], (1, len(catalogue)), np.array([query.day]))


def scores(
    catalogue: Catalogue, bought: Purchases | None, user: Users, *, unaided: bool = False, only: bool = False
) -> Float32Array:
    """Scores of all items for one user, shape (1, n_items).

    Args:
        unaided: without what popularity adds to them.
        only: what was bought before is all that is asked for; the rest may be -inf.
    """
    chain = catalogue.chain
    if only and bought is not None and repeats.tell_all(bought, user.histories):
        return repeats.scores(chain, user, bought, "only")
    scored_by = chain.unaided_scores if unaided else chain.scores
    return scored_by(user) if bought is None else repeats.scores(chain, user, bought, scored_by=scored_by)


def scores_of_newcomers(
    catalogue: Catalogue, bought: Purchases | None, user: Users, vectors: Float32Array
) -> Float32Array:
    """Of items that the bundle does not hold, by their vectors, comparable with `scores`; shape (n_newcomers,)."""
    chain = catalogue.chain
    if bought is not None:
        return np.ravel(repeats.scores_of_newcomers(chain, user, bought, vectors))
    return np.ravel(chain.scores_of_newcomers(user, vectors))


def are_bought(bought: Purchases | None, rows: Int64Array) -> BoolArray:
    """Which items the user has bought before, as far as that counts."""
    return repeats.are_bought(bought, np.zeros(len(rows), np.int64), rows)
