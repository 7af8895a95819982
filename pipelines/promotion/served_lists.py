"""Served lists: what a bundle answers the users of a hold-out, by its fallback chain, as batch jobs and service do."""

import time
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from pipelines.dataset.user_features import UserMetadata
from pipelines.evaluation.repeats import with_recency
from pipelines.promotion.hold_out import HoldOut
from recsys_vae.bundles.bundle import Bundle
from recsys_vae.bundles.tier_policy import POPULAR, SEGMENT
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.metrics import Float64Array, Metric, RankedLists
from recsys_vae.evaluation.splits import onto_items
from recsys_vae.protocols import BoolArray, Int64Array, StrArray
from recsys_vae.recommender import FallbackChain

SCORES_AT_ONCE = 2**22
TIMED_USERS = 100
"""Users whose answers are timed one by one."""


@dataclass(frozen=True, eq=False)
class ServedLists:
    """The lists of all users who were asked.

    Attributes:
        own: item rows of the bundle's catalogue, best first, shape (n, depth); -1 where a list has ended.
        rows: the same items as rows of the hold-out; -1 besides where it does not have the item.
        tiers: which tier answered, shape (n,).
        n_unknown: targets that the bundle cannot find, as it does not know the items.
        n_items: of the bundle's catalogue.
    """

    own: Int64Array
    rows: Int64Array
    tiers: StrArray
    n_unknown: int
    n_items: int

    def values(self, metric: Metric, users: Int64Array, targets: csr_array) -> Float64Array:
        """A metric of some users, shape (len(users),).

        Args:
            users: rows of those who were asked.
            targets: of these users, at least one each, over the items of the hold-out.
        """
        rows = self.rows[users]
        keys = rows + np.arange(len(users), dtype=np.int64)[:, None] * targets.shape[1]
        hits = (rows >= 0) & (entries.find_entries(targets, keys) >= 0)
        return metric.per_user(RankedLists(rows, hits, entries.row_lengths(targets)))

    @property
    def coverage(self) -> float:
        """Share of the items that so many lists could show at most."""
        shown = np.unique(self.own[self.own >= 0]).size
        return float(shown / max(1, min(self.n_items, self.own.size)))

    def top_item(self, users: BoolArray) -> float:
        """Share of some users' lists that begin with the same item."""
        first = self.own[users, 0]
        first = first[first >= 0]
        return float(np.bincount(first).max() / first.size) if first.size else 0.0

    def by_popularity(self, users: BoolArray) -> float:
        """Share of some users who are answered by what is popular."""
        return float(np.isin(self.tiers[users], (POPULAR, SEGMENT)).mean()) if users.any() else 0.0


class Asker:
    """Asks one bundle about a hold-out."""

    def __init__(self, bundle: Bundle, hold_out: HoldOut) -> None:
        self._chain, self._items = FallbackChain(bundle), hold_out.items
        self._bundle, self._targets = bundle, hold_out.asked.targets
        self._histories = onto_items(hold_out.histories_for(bundle), hold_out.items, bundle.items)
        order = hold_out.asked.order if self._chain.is_sequential else None
        self._order = None if order is None else onto_items(order, hold_out.items, bundle.items)
        schema = bundle.tiers.schema
        known = None if schema is None or not schema.width else UserMetadata(hold_out.dataset, schema)
        self._metadata = None if known is None else known.rows(hold_out.asked.users.values)
        self._recency = with_recency(hold_out.asked, bundle, hold_out.dataset, hold_out.since).recency

    def lists(self, depth: int, tier: str | None = None) -> ServedLists:
        """The lists of all, with one tier for everybody where one is named."""
        n, width = self._histories.shape
        size, k = max(64, SCORES_AT_ONCE // max(1, width)), min(depth, width)
        own = np.full((n, k), -1, dtype=np.int64)
        tiers: list[str] = []
        for start in range(0, n, size):
            chosen = slice(start, start + size)
            metadata = None if self._metadata is None else self._metadata[chosen]
            order = None if self._order is None else self._order[chosen]
            recency = None if self._recency is None else self._recency[np.arange(n)[chosen]]
            answers = self._chain.recommend(
                self._histories[chosen], k, metadata=metadata, order=order, tier=tier, recency=recency
            )
            own[chosen] = answers.rows
            tiers.extend(answers.tiers)
        numbers = self._items.rows(self._bundle.items.values)
        unknown = self._bundle.items.rows(self._items.values) < 0
        rows = np.where(own >= 0, numbers[own], -1)
        return ServedLists(own, rows, np.array(tiers), int(unknown[self._targets.indices].sum()), width)

    def milliseconds(self, user: int, k: int) -> float:
        """Time of one answer to one user."""
        history = self._histories[[user]]
        metadata = None if self._metadata is None else self._metadata[[user]]
        order = None if self._order is None else self._order[[user]]
        recency = None if self._recency is None else self._recency[np.array([user])]
        started = time.perf_counter()
        self._chain.recommend(history, k, metadata=metadata, order=order, recency=recency)
        return (time.perf_counter() - started) * 1000


def latencies(askers: list[Asker], n_users: int, k: int) -> list[float]:
    """Median time of an answer to one user in milliseconds, of each; in turns, so that all meet the same load."""
    users = np.linspace(0, n_users - 1, min(TIMED_USERS, n_users)).astype(int)
    for asker in askers:
        asker.milliseconds(0, k)  # the first one is slower
    times = [[asker.milliseconds(int(user), k) for asker in askers] for user in users]
    return [float(median) for median in np.median(times, axis=0)]
