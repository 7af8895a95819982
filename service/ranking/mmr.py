"""Diversity: maximal marginal relevance over item vectors.

    next = argmax_i (1 - diversity) * relevance_i - diversity * max_{j chosen} cos(v_i, v_j)

Relevance is the score, scaled to 0..1 over the pool, so that it and a cosine can be weighed against each other.

Source: Carbonell & Goldstein, The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
Summaries, SIGIR 1998.
"""

import numpy as np

from recsys_vae.protocols import Float32Array, Int64Array
from recsys_vae.reranking.caps import Door
from service.ranking.steps import Steps, finished

POOL = 400
"""Best items that are chosen among, and at least ten times as many as are wanted, up to `LARGEST_POOL`."""
LARGEST_POOL = 2000
COMPARED = 1 / 5000
"""Work of a candidate that is compared with an item of the list, in plain requests."""
PART = 20_000
"""Comparisons between two pauses."""


def pool_size(k: int) -> int:
    """How many of the best items k diverse ones are chosen among."""
    return max(k, min(LARGEST_POOL, max(POOL, 10 * k)))


def diversify(scores: Float32Array, vectors: Float32Array, shown: Float32Array, k: int, diversity: float) -> Int64Array:
    """Places of k of a pool, in the order in which they are chosen; ties go to the earlier place.

    Args:
        scores: of the pool, best first, finite, shape (n,).
        vectors: of the pool, of length 1, shape (n, d).
        shown: the same of items that were chosen before, on earlier pages, shape (m, d).
        k: at least 1; all when there are fewer.
        diversity: 0 for the order of the scores, towards 1 for dissimilarity alone.
    """
    return finished(diversifying(scores, vectors, shown, k, diversity))


def diversifying(
    scores: Float32Array,
    vectors: Float32Array,
    shown: Float32Array,
    k: int,
    diversity: float,
    gate: Door | None = None,
) -> Steps[Int64Array]:
    """The same, in steps.

    Args:
        scores: as above, and so are those that follow.
        vectors: of the pool.
        shown: of items before.
        k: at least 1.
        diversity: from 0 to 1.
        gate: which of them may come; fewer than k come back where it closes.
    """
    spread = scores[0] - scores[-1] if len(scores) else np.float32(0)
    relevance = (scores - scores[-1]) / spread if spread > 0 else np.zeros_like(scores)
    closest = (vectors @ shown.T).max(axis=1) if len(shown) else np.full(len(scores), -1.0, dtype=np.float32)
    is_first, chosen = not len(shown), np.empty(min(k, len(scores)), dtype=np.int64)
    value, at_once = (1 - diversity) * relevance, max(1, PART // max(1, len(scores)))
    for place in range(len(chosen)):
        gain = value.copy() if is_first and place == 0 else value - diversity * closest
        gain[chosen[:place]] = -np.inf
        if gate is not None:
            if not gate.open.any():
                return chosen[:place]
            gain[~gate.open] = -np.inf
        chosen[place] = best = int(np.argmax(gain))
        np.maximum(closest, vectors @ vectors[best], out=closest)
        if gate is not None:
            gate.take(best)
        if (place + 1) % at_once == 0:
            yield COMPARED * at_once * len(scores)
    return chosen
