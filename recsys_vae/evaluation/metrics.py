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

Beyond accuracy, each with its formula where it stands: what hits are worth (value_metrics.py), repeats and novel items
apart (repeat_metrics.py), what lists are made of (list_metrics.py), all lists together (overall_metrics.py).

`relevant` is the number of a user's targets, `hits` those among the first k. Users without targets never get here.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.evaluation.list_metrics import Diversity, Miscalibration, Novelty
from recsys_vae.evaluation.overall_metrics import Coverage, Gini, PopularityLift
from recsys_vae.evaluation.ranked_lists import LOWER, AnyMetric, Float64Array, Metric, RankedLists, is_of_users
from recsys_vae.evaluation.repeat_metrics import NOVEL, REPEAT, OfTargets, RepeatShare
from recsys_vae.evaluation.value_metrics import Value, ValueNDCG, ValueRecall

__all__ = [
    "ACCURACY",
    "AnyMetric",
    "Coverage",
    "Disliked",
    "Float64Array",
    "Metric",
    "Novelty",
    "RankedLists",
    "known_metrics",
    "parse_metric",
]


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
class Disliked:
    """Share of the first k that the user dislikes in the held-out part; lower is better."""

    k: int
    family: ClassVar[str] = "dislike"
    better: ClassVar[int] = LOWER

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
        Gini,
        PopularityLift,
        RepeatShare,
        Diversity,
        Disliked,
    )
}
_OF_A_COLUMN = {metric.family: metric for metric in (Value, ValueRecall, ValueNDCG, Miscalibration, Diversity)}
_OF_TARGETS = ("recall", "precision", "hit-rate", "ndcg", "map", "mrr")
ACCURACY = (Recall, RecallOfAll, Precision, HitRate, NDCG, MeanAveragePrecision, ReciprocalRank)
"""Metrics that look at nothing but where the targets stand."""
LARGEST_K = 10**9
_FORM = re.compile(r"(?P<family>[A-Za-z-]+)(?:@(?P<k>[0-9]+))?(?:\[(?P<variant>[^\[\]]+)\])?")


def parse_metric(name: str) -> AnyMetric:
    """The metric of a name such as `recall@20`, `recall@20[all]`, `mrr`, `ndcg@10[novel]`, `value@20[price]`.

    Raises:
        UnknownNameError: no metric has that name.
        ConfigError: k is missing, 0, or larger than any catalogue; or a column is.
    """
    form = _FORM.fullmatch(name.strip())
    family, variant = (form["family"].lower(), form["variant"] or "") if form else ("", "")
    if form is None or not _is_known(family, variant):
        raise UnknownNameError("metric", name, known_metrics())
    if family == "mrr" and form["k"] is None and not variant:
        return ReciprocalRank()
    k = _length(name, family, form["k"])
    if family in _OF_A_COLUMN and variant:
        return _OF_A_COLUMN[family](k, variant)
    if family not in _WITH_CUT:
        raise ConfigError(f"Metric {name!r} needs a column of the items, as in {family}@20[price].")
    if variant.lower() == "all":
        return RecallOfAll(k)
    plain: AnyMetric = _WITH_CUT[family](k)
    return OfTargets(plain, variant.lower()) if variant and is_of_users(plain) else plain


def known_metrics() -> list[str]:
    """How metrics are named, with k for the length of the list and COLUMN for a column of the items.

    What recall stands for with `[repeat]` and `[novel]`, precision, hit-rate, ndcg, map and mrr take, too.
    """
    forms = [f"{family.removesuffix('[all]')}@k{'[all]' if '[' in family else ''}" for family in _WITH_CUT]
    return ["mrr", *forms, "recall@k[repeat]", "recall@k[novel]", *(f"{family}@k[COLUMN]" for family in _OF_A_COLUMN)]


def _is_known(family: str, variant: str) -> bool:
    if variant.lower() in (REPEAT, NOVEL) and family in _OF_TARGETS:
        return True
    if variant and family not in _OF_A_COLUMN:
        return f"{family}[{variant.lower()}]" in _WITH_CUT
    return family in _WITH_CUT or family in _OF_A_COLUMN


def _length(name: str, family: str, k: str | None) -> int:
    if k is None:
        raise ConfigError(f"Metric {name!r} needs the length of the list, as in {family}@20.")
    if not k.strip("0"):
        raise ConfigError(f"Metric {name!r} looks at a list of length 0; k is at least 1.")
    if len(k.lstrip("0")) > len(str(LARGEST_K)) or int(k) > LARGEST_K:
        raise ConfigError(f"Metric {name[:40]!r} looks at a list of more than {LARGEST_K:,} items; k is at most that.")
    return int(k)
