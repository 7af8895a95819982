"""Explanations: which items of a history push a recommended item up, by leaving each of them out.

    effect of h on i = score of i from the whole history - score of i from the history without h

What the encoder does with the rest of the history counts too, so effects do not add up to the score. Scores are those
of the first stage: it is what goes by the history, and a second stage only orders what it finds.

Where popularity counts beside the model, items that would not be in the list without it are pushed by popularity.
Where the repeat-purchase head ranks what was bought, an item is left out with all its purchases, and what remains is
scored whole: what a user buys again is pushed by itself.
"""

import numpy as np
from scipy.sparse import csr_array

from recsys_vae import repeats
from recsys_vae.data.purchases import Purchases
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array
from recsys_vae.recommender import POPULAR, PRIOR, SEGMENT, FallbackChain, Users
from service.ranking.steps import Steps

LONGEST = 200
"""Items of a history that are left out in turn, the last of it; the others stay in every time."""
ENTRIES = 200_000
"""Entries of all these histories together: what long histories are bounded by."""
NAMED = 3
"""Items of the history that are named with each recommended item."""
BY_HISTORY, BY_METADATA, BY_POPULARITY = "history", "metadata", "popularity"
"""What may push an item up."""
SCORES_AT_ONCE = 2**24
LEFT_OUT, SCORED_AGAIN = 1 / 50, 1 / 6000
"""Work of an item of the history that is left out, and of an item that is scored or encoded once more for it, in plain
requests."""
SCORED_WHOLE = 2.0
"""Work of the scores of all items, instead."""
PART = 4.0
"""Work between two pauses."""


def affordable(n_history: int) -> int:
    """How many items of a history are left out in turn."""
    return max(1, min(LONGEST, ENTRIES // max(1, n_history)))


def work_of(n_left_out: int, n_history: int, n_items: int, *, whole: bool = False) -> float:
    """What it costs to explain items by as many of a history, in plain requests; `whole` where all are scored."""
    return n_left_out * (LEFT_OUT + SCORED_AGAIN * (n_history + n_items) + SCORED_WHOLE * whole)


def effects(
    chain: FallbackChain, user: Users, left_out: Int64Array, items: Int64Array, purchases: Purchases | None = None
) -> Steps[Float32Array]:
    """Effect of each item of a history on the scores of others, shape (len(left_out), len(items)), in steps.

    Args:
        chain: what scores.
        user: one, with a history. Its tier is also asked where nothing is left of that: what it makes of nothing is
            the baseline.
        left_out: rows of items of the history.
        items: rows of the items that are explained.
        purchases: of the user, where the repeat-purchase head ranks them.
    """
    whole = _scores(chain, user, user.histories, user.order, items, purchases)
    work = work_of(1, user.histories.nnz, len(items), whole=purchases is not None)
    at_once = max(1, min(SCORES_AT_ONCE // chain.n_items, int(PART / work)))
    parts: list[Float32Array] = []
    for start in range(0, len(left_out), at_once):
        chosen = left_out[start : start + at_once]
        order = None if user.order is None else _without(user.order, chosen)
        kept = None if purchases is None else _unbought(purchases, chosen)
        parts.append(whole - _scores(chain, user, _without(user.histories, chosen), order, items, kept))
        if len(chosen) == at_once:
            yield work * at_once
    return np.concatenate(parts) if parts else np.zeros((0, len(items)), np.float32)


def reasons(tier: str, rows: Int64Array, unaided: Int64Array | None, bought: BoolArray) -> tuple[str, ...]:
    """What pushed each item up.

    Args:
        tier: that answered.
        rows: of the items of the list.
        unaided: rows of the list that it would be without popularity; None where none is added.
        bought: which items are there for the user's purchases, shape (len(rows),).
    """
    own = BY_POPULARITY if tier in (SEGMENT, POPULAR) else BY_METADATA if tier == PRIOR else BY_HISTORY
    are_own = np.full(len(rows), fill_value=True) if unaided is None else np.isin(rows, unaided)
    return tuple(
        BY_HISTORY if again else own if kept else BY_POPULARITY
        for again, kept in zip(bought.tolist(), are_own.tolist(), strict=True)
    )


def strongest(effect: Float32Array) -> Int64Array:
    """Places of the largest effects above 0 on one item, largest first, `NAMED` at most; shape (n,) in."""
    order = np.argsort(-effect, kind="stable")[:NAMED]
    return order[effect[order] > 0]


def _scores(
    chain: FallbackChain, user: Users, histories: csr_array, order: csr_array | None, items: Int64Array,
    purchases: Purchases | None,
) -> Float32Array:  # fmt: skip
    everybodys = None if user.metadata is None else user.metadata[np.zeros(histories.shape[0], dtype=np.int64)]
    (tier,) = user.tiers
    if purchases is None:
        return chain.first_scores(chain.encode(histories, everybodys, order, tier=tier), items)
    weight = 0.0 if user.weights is None else float(user.weights[0])
    users = chain.encode(histories, everybodys, order, tier=tier, weight=weight)
    return repeats.scores(chain, users, purchases, scored_by=chain.first_scores)[:, items]


def _unbought(purchases: Purchases, left_out: Int64Array) -> Purchases:
    """The purchases once for each item left out of them."""
    return Purchases(*(_without(one, left_out) for one in (purchases.counts, purchases.ages, purchases.spans)))


def _without(history: csr_array, left_out: Int64Array) -> csr_array:
    """The history once for each item left out of it."""
    n, stays = len(left_out), history.indices[None, :] != left_out[:, None]
    indices = np.broadcast_to(history.indices, stays.shape)[stays]
    weights = np.broadcast_to(history.data, stays.shape)[stays]
    starts = np.concatenate([[0], np.cumsum(stays.sum(axis=1))])
    return csr_array((weights, indices, starts), shape=(n, history.shape[1]), dtype=np.float32)
