"""Work: what a query costs, in plain requests (k 20, a history of 30): what rate limits and the queue count by.

Measured on one core with 41,000 items, where a plain request takes 1 ms of CPU from socket to socket.
"""

from recsys_vae.reranking import calibration
from service.ranking import explanations, mmr, reordering
from service.ranking.results import Query

PLAIN_K, PLAIN_HISTORY = 100, 500
"""Up to these, a query that asks for nothing else is a plain one."""
K = 1 / 1000
HISTORY = 1 / 5000
CANDIDATES, EXCLUDED, NAMED = 1 / 1000, 1 / 10_000, 1 / 1500
"""An id that is looked up: to choose among, to leave out, to boost."""
BOOSTED, BOOST = 2.0, 0.4
"""Scores of all items instead of the best; each boost."""
REPEATED = 2.0
"""Scores of all items beside what was bought before."""
FILTER = 0.5
CAPPED = 2.0
"""Each cap: the values of more items than are wanted; a list that has to go far down costs up to ten times as much."""
QUOTA = 2.0
"""Each quota: the best of its items."""


def work_of(query: Query, n_stored: int = 0) -> float:
    """What a query costs, at least 1; `n_stored` items of a stored history are not in it yet."""
    n_history = len(query.history) + n_stored
    is_small = query.k <= PLAIN_K and n_history <= PLAIN_HISTORY
    asks_more = (
        query.explain or query.diversity or query.boosts or query.exclude or query.filter is not None or query.caps
        or query.quotas or query.calibration is not None or query.day is not None
    )  # fmt: skip
    if is_small and not asks_more and query.candidates is None and query.repeat != "only":
        return 1.0
    work = 1.0 + K * query.k + HISTORY * n_history + EXCLUDED * len(query.exclude)
    work += CANDIDATES * len(query.candidates or ()) + FILTER * (query.filter is not None)
    work += CAPPED * len(query.caps) + sum(QUOTA + NAMED * len(quota.items) for quota in query.quotas)
    work += CANDIDATES * n_history * (query.repeat == "only") + REPEATED * (query.day is not None)
    if query.boosts:
        work += BOOSTED + sum(BOOST + NAMED * len(boost.items) for boost in query.boosts)
    if query.explain:
        n_left_out = min(n_history, explanations.affordable(n_history))
        work += explanations.work_of(n_left_out, n_history, query.k, whole=query.day is not None)
    if query.calibration is not None:
        work += reordering.CALIBRATED * query.k * calibration.pool_size(query.k)
    elif query.diversity:
        work += mmr.COMPARED * query.k * mmr.pool_size(query.k)
    return work
