"""Metrics of ranked lists, one a class, with its formula.

    recall@k       hits / min(k, relevant)        Liang et al. 2018; the default meaning of recall here
    recall@k[all]  hits / relevant                LightGCN's tables and most libraries
    precision@k    hits / k
    hit-rate@k     1 if there is a hit, else 0
    ndcg@k         discounted gain over the ideal one
    map@k          mean over the relevant of the precision at their rank
    mrr, mrr@k     1 / rank of the first hit
    coverage@k     share of the catalogue that stands in somebody's list
    novelty@k      mean surprise of the recommended items, in bits
    dislike@k      share of the list that the user turns out to dislike

`relevant` is the number of a user's targets, `hits` those among the first k. Users without targets never get here.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.protocols import BoolArray, Int64Array

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RankedLists:
    """The lists of some users, seen items removed, and how they fit the targets.

    Attributes:
        rows: recommended item rows, best first, shape (n, depth); -1 where the list has ended. A catalogue of fewer
            items than are looked at is no deeper than that.
        hits: whether each is a target, shape (n, depth).
        relevant: number of targets of each user, >= 1, shape (n,).
        first_rank: rank of the best-placed target in the whole catalogue, from 1, shape (n,); filled only where a
            metric without cut-off is asked for.
        surprise: -log2 of each item's share of all interactions, shape (n_items,); for novelty only.
        disliked: whether each is an item that the user dislikes in the held-out part, shape (n, depth); for `dislike`
            only.
    """

    rows: Int64Array
    hits: BoolArray
    relevant: Int64Array
    first_rank: Int64Array | None = None
    surprise: Float64Array | None = None
    disliked: BoolArray | None = None

    @cached_property
    def hits_so_far(self) -> Int64Array:
        """Hits among the first 1 .. depth, shape (n, depth)."""
        return np.cumsum(self.hits, axis=1, dtype=np.int64)

    def n_hits(self, k: int) -> Int64Array:
        """Hits among the first k, shape (n,)."""
        return self.hits_so_far[:, min(k, self.hits.shape[1]) - 1]


class Metric(Protocol):
    """A value a user; higher is better unless the class says otherwise."""

    @property
    def name(self) -> str:
        """As users write it and tables show it."""
        ...

    @property
    def k(self) -> int | None:
        """Length of the list that it looks at; None: the whole catalogue."""
        ...

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user, shape (n,). The lists are at least k deep, or as deep as the catalogue."""
        ...


@dataclass(frozen=True)
class Recall:
    """|hits| / min(k, |relevant|): 1 when the list could not hold more targets.

    Source: Liang et al. (2018), section 4.2.
    """

    k: int
    family: ClassVar[str] = "recall"

    @property
    def name(self) -> str:
        """`recall@k`."""
        return f"recall@{self.k}"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        return lists.n_hits(self.k) / np.minimum(self.k, lists.relevant)


@dataclass(frozen=True)
class RecallOfAll:
    """|hits| / |relevant|: the textbook's recall; below 1 for every user with more than k targets.

    Source: He et al., LightGCN (2020), whose tables use it.
    """

    k: int
    family: ClassVar[str] = "recall[all]"

    @property
    def name(self) -> str:
        """`recall@k[all]`."""
        return f"recall@{self.k}[all]"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        return lists.n_hits(self.k) / lists.relevant


@dataclass(frozen=True)
class Precision:
    """|hits| / k, also where the list ends before k."""

    k: int
    family: ClassVar[str] = "precision"

    @property
    def name(self) -> str:
        """`precision@k`."""
        return f"precision@{self.k}"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        return lists.n_hits(self.k) / np.float64(self.k)


@dataclass(frozen=True)
class HitRate:
    """1 where there is at least one hit among the first k, else 0."""

    k: int
    family: ClassVar[str] = "hit-rate"

    @property
    def name(self) -> str:
        """`hit-rate@k`."""
        return f"hit-rate@{self.k}"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        return (lists.n_hits(self.k) > 0).astype(np.float64)


@dataclass(frozen=True)
class NDCG:
    """DCG / ideal DCG with binary gains.

    DCG is the sum over hits of 1 / log2(rank + 1), the ideal one the same sum over ranks 1 .. min(k, |relevant|).

    Source: Järvelin & Kekäläinen, Cumulated gain-based evaluation of IR techniques (2002); Liang et al. (2018).
    """

    k: int
    family: ClassVar[str] = "ndcg"

    @property
    def name(self) -> str:
        """`ndcg@k`."""
        return f"ndcg@{self.k}"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        discounts = 1.0 / np.log2(np.arange(2, min(self.k, lists.hits.shape[1]) + 2))
        ideal = np.cumsum(discounts)[np.minimum(self.k, lists.relevant) - 1]
        # Summed in the same order as the ideal, so that a perfect list has exactly 1.
        gained = np.cumsum(lists.hits[:, : self.k] * discounts, axis=1)[:, -1]
        values: Float64Array = gained / ideal
        return values


@dataclass(frozen=True)
class MeanAveragePrecision:
    """Sum over hits of the precision at their rank, over |relevant|.

    Source: Buckley & Voorhees, Evaluating evaluation measure stability (2000); trec_eval's `map_cut`.
    """

    k: int
    family: ClassVar[str] = "map"

    @property
    def name(self) -> str:
        """`map@k`."""
        return f"map@{self.k}"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        hits = lists.hits[:, : self.k]
        precision = lists.hits_so_far[:, : self.k] / np.arange(1, hits.shape[1] + 1)
        total: Float64Array = np.sum(precision, axis=1, where=hits)
        return total / lists.relevant


@dataclass(frozen=True)
class ReciprocalRank:
    """1 / rank of the first hit, 0 where none is among the first k; k None: the whole catalogue is the list.

    Its mean is the mean reciprocal rank, MRR.
    """

    k: int | None = None
    family: ClassVar[str] = "mrr"

    @property
    def name(self) -> str:
        """`mrr` or `mrr@k`."""
        return "mrr" if self.k is None else f"mrr@{self.k}"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        if self.k is None:
            if lists.first_rank is None:
                raise ConfigError("mrr without a cut-off needs the rank of the first hit in the whole catalogue.")
            return 1.0 / lists.first_rank
        hits = lists.hits[:, : self.k]
        return np.where(hits.any(axis=1), 1.0 / (hits.argmax(axis=1) + 1), 0.0)


@dataclass(frozen=True)
class Novelty:
    """Mean over the list of -log2(share of all training interactions that are with this item), in bits.

    Popular items are worth little, rare ones much. An item nobody has touched counts as touched once.

    Source: Vargas & Castells, Rank and relevance in novelty and diversity metrics (2011): expected free discovery.
    """

    k: int
    family: ClassVar[str] = "novelty"

    @property
    def name(self) -> str:
        """`novelty@k`."""
        return f"novelty@{self.k}"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user; 0 for an empty list."""
        if lists.surprise is None:
            raise ConfigError("Novelty needs the popularity of the items: pass item_counts of the training part.")
        rows = lists.rows[:, : self.k]
        filled = rows >= 0
        total = np.sum(lists.surprise[rows], axis=1, where=filled)
        values: Float64Array = total / np.maximum(np.count_nonzero(filled, axis=1), 1)
        return values


@dataclass(frozen=True)
class Disliked:
    """Share of the first k that the user dislikes in the held-out part; lower is better."""

    k: int
    family: ClassVar[str] = "dislike"

    @property
    def name(self) -> str:
        """`dislike@k`."""
        return f"dislike@{self.k}"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        if lists.disliked is None:
            raise ConfigError("dislike needs to know what users dislike in the held-out part.")
        values: Float64Array = np.count_nonzero(lists.disliked[:, : self.k], axis=1) / np.float64(self.k)
        return values


@dataclass(frozen=True)
class Coverage:
    """Share of the catalogue among the first k of at least one user: a figure of all lists together, not of a user."""

    k: int
    family: ClassVar[str] = "coverage"

    @property
    def name(self) -> str:
        """`coverage@k`."""
        return f"coverage@{self.k}"

    def mark(self, shown: BoolArray, lists: RankedLists) -> None:
        """Note in `shown`, shape (n_items,), what these lists show."""
        rows = lists.rows[:, : self.k]
        shown[rows[rows >= 0]] = True


AnyMetric = Metric | Coverage
_WITH_CUT = {
    metric.family: metric
    for metric in (
        Recall,
        RecallOfAll,
        Precision,
        HitRate,
        NDCG,
        MeanAveragePrecision,
        ReciprocalRank,
        Coverage,
        Novelty,
        Disliked,
    )
}
LARGEST_K = 10**9
_FORM = re.compile(r"(?P<family>[a-z-]+)(?:@(?P<k>[0-9]+))?(?P<variant>\[all\])?")


def parse_metric(name: str) -> AnyMetric:
    """The metric of a name such as `recall@20`, `recall@20[all]`, `ndcg@100`, `mrr`.

    Raises:
        UnknownNameError: no metric has that name.
        ConfigError: k is missing, 0, or larger than any catalogue.
    """
    form = _FORM.fullmatch(name.strip().lower())
    family = form["family"] + (form["variant"] or "") if form else ""
    if form is None or family not in _WITH_CUT:
        raise UnknownNameError("metric", name, known_metrics())
    if form["k"] is None:
        if family == "mrr":
            return ReciprocalRank()
        raise ConfigError(f"Metric {name!r} needs the length of the list, as in {family.replace('[all]', '')}@20.")
    if not form["k"].strip("0"):
        raise ConfigError(f"Metric {name!r} looks at a list of length 0; k is at least 1.")
    if len(form["k"].lstrip("0")) > len(str(LARGEST_K)) or int(form["k"]) > LARGEST_K:
        raise ConfigError(f"Metric {name[:40]!r} looks at a list of more than {LARGEST_K:,} items; k is at most that.")
    return _WITH_CUT[family](int(form["k"]))


def known_metrics() -> list[str]:
    """How metrics are named, with k for the length of the list."""
    forms = [f"{family.removesuffix('[all]')}@k{'[all]' if '[' in family else ''}" for family in _WITH_CUT]
    return ["mrr", *forms]
