"""Explanations: which items of a history push a recommended item up, by leaving each of them out.

    effect of h on i = score of i from the whole history - score of i from the history without h

What the encoder does with the rest of the history counts too, so effects do not add up to the score. Scores are those
of the first stage: it is what goes by the history, and a second stage only orders what it finds.

Where popularity counts beside the model, items that would not be in the list without it are pushed by popularity.
"""

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.protocols import Float32Array, Int64Array
from recsys_vae.recommender import HISTORY, POPULAR, PRIOR, SEGMENT, FallbackChain
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
PART = 4.0
"""Work between two pauses."""


def affordable(n_history: int) -> int:
    """How many items of a history are left out in turn."""
    return max(1, min(LONGEST, ENTRIES // max(1, n_history)))


def work_of(n_left_out: int, n_history: int, n_items: int) -> float:
    """What it costs to explain items by as many of a history, in plain requests."""
    return n_left_out * (LEFT_OUT + SCORED_AGAIN * (n_history + n_items))


def effects(
    chain: FallbackChain, history: csr_array, left_out: Int64Array, items: Int64Array, *,
    tier: str = HISTORY, metadata: csr_array | None = None, order: csr_array | None = None,
) -> Steps[Float32Array]:  # fmt: skip
    """Effect of each item of a history on the scores of others, shape (len(left_out), len(items)), in steps.

    Args:
        chain: what scores.
        history: of one user, shape (1, n_items), not empty.
        left_out: rows of items of the history.
        items: rows of the items that are explained.
        tier: that answered; also asked where nothing is left of the history: what it makes of nothing is the baseline.
        metadata: of the user, shape (1, n_features).
        order: of what is liked of the history; None where the model does not go by it.
    """
    whole = _scores(chain, history, items, tier, metadata, order)
    work = work_of(1, history.nnz, len(items))
    at_once = max(1, min(SCORES_AT_ONCE // history.shape[1], int(PART / work)))
    parts: list[Float32Array] = []
    for start in range(0, len(left_out), at_once):
        chosen = left_out[start : start + at_once]
        rest = None if order is None else _without(order, chosen)
        parts.append(whole - _scores(chain, _without(history, chosen), items, tier, metadata, rest))
        if len(chosen) == at_once:
            yield work * at_once
    return np.concatenate(parts) if parts else np.zeros((0, len(items)), np.float32)


def reasons(tier: str, rows: Int64Array, unaided: Int64Array | None) -> tuple[str, ...]:
    """What pushed each item up.

    Args:
        tier: that answered.
        rows: of the items of the list.
        unaided: rows of the list that it would be without popularity; None where none is added.
    """
    if tier in (SEGMENT, POPULAR):
        return (BY_POPULARITY,) * len(rows)
    own = BY_METADATA if tier == PRIOR else BY_HISTORY
    if unaided is None:
        return (own,) * len(rows)
    return tuple(own if kept else BY_POPULARITY for kept in np.isin(rows, unaided).tolist())


def strongest(effect: Float32Array) -> Int64Array:
    """Places of the largest effects above 0 on one item, largest first, `NAMED` at most; shape (n,) in."""
    order = np.argsort(-effect, kind="stable")[:NAMED]
    return order[effect[order] > 0]


def _scores(
    chain: FallbackChain, histories: csr_array, items: Int64Array, tier: str, metadata: csr_array | None,
    order: csr_array | None,
) -> Float32Array:  # fmt: skip
    everybodys = None if metadata is None else metadata[np.zeros(histories.shape[0], dtype=np.int64)]
    users = chain.encode(histories, everybodys, order, tier=tier)
    return chain.first_scores(users, items)


def _without(history: csr_array, left_out: Int64Array) -> csr_array:
    """The history once for each item left out of it."""
    n, stays = len(left_out), history.indices[None, :] != left_out[:, None]
    indices = np.broadcast_to(history.indices, stays.shape)[stays]
    weights = np.broadcast_to(history.data, stays.shape)[stays]
    starts = np.concatenate([[0], np.cumsum(stays.sum(axis=1))])
    return csr_array((weights, indices, starts), shape=(n, history.shape[1]), dtype=np.float32)
