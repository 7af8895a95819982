"""Repeats and novel items apart: a metric over the targets that stand in the history, or over those that do not.

Source: Li, Jullien, Ariannezhad & de Rijke, A Next Basket Recommendation Reality Check (2023), repetition and
exploration; Anderson, Kumar, Tomkins & Vassilvitskii, The Dynamics of Repeat Consumption (2014).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from recsys_vae.evaluation import entries
from recsys_vae.evaluation.ranked_lists import NEITHER, Float64Array, Metric, RankedLists

REPEAT, NOVEL = "repeat", "novel"


@dataclass(frozen=True)
class OfTargets:
    """The metric with only the targets that stand in the history (`repeat`), or do not (`novel`); the list stays whole.

    NaN where the user has no such target.
    """

    metric: Metric
    which: str

    @property
    def name(self) -> str:
        """`recall@k[repeat]`, `ndcg@k[novel]` ..."""
        return f"{self.metric.name}[{self.which}]"

    @property
    def k(self) -> int | None:
        """Of the metric."""
        return self.metric.k

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        is_repeat = self.which == REPEAT
        wanted = lists.repeated_targets == is_repeat
        owners = entries.entry_rows(lists.known_targets)
        relevant = np.bincount(owners[wanted], minlength=len(lists.rows))
        hits = lists.hits & (lists.are_repeats == is_repeat)
        values = self.metric.per_user(replace(lists, hits=hits, relevant=np.maximum(relevant, 1)))
        return np.where(relevant > 0, values, np.nan)


@dataclass(frozen=True)
class RepeatShare:
    """Share of the first k that stand in the history; 0 for an empty list."""

    k: int
    family: ClassVar[str] = "repeat-share"
    better: ClassVar[int] = NEITHER

    @property
    def name(self) -> str:
        """`repeat-share@k`."""
        return f"repeat-share@{self.k}"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        shown = np.count_nonzero(lists.rows[:, : self.k] >= 0, axis=1)
        shares: Float64Array = np.count_nonzero(lists.are_repeats[:, : self.k], axis=1) / np.maximum(shown, 1)
        return shares
