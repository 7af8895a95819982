"""Metrics of what lists are made of, whether or not it is a hit: novelty, calibration, diversity."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.attributes import indicators
from recsys_vae.evaluation.ranked_lists import LOWER, NEITHER, Float64Array, RankedLists
from recsys_vae.reranking.calibration import SMOOTHING


@dataclass(frozen=True)
class Novelty:
    """Mean over the list of -log2(share of all training interactions that are with this item), in bits.

    Popular items are worth little, rare ones much. An item nobody has touched counts as touched once.

    Source: Vargas & Castells, Rank and relevance in novelty and diversity metrics (2011): expected free discovery.
    """

    k: int
    family: ClassVar[str] = "novelty"
    better: ClassVar[int] = NEITHER

    @property
    def name(self) -> str:
        """`novelty@k`."""
        return f"novelty@{self.k}"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user; 0 for an empty list."""
        rows = lists.rows[:, : self.k]
        filled = rows >= 0
        total = np.sum(lists.facts.surprise[rows], axis=1, where=filled)
        values: Float64Array = total / np.maximum(np.count_nonzero(filled, axis=1), 1)
        return values


@dataclass(frozen=True)
class Miscalibration:
    """KL divergence of the list's shares of the column's values from those of the history, in nats; 0 is calibrated.

    KL(p || q~) = sum over values g of p(g) log(p(g) / q~(g)), q~ = (1 - a) q + a p, a = 0.01. p(g) is the mean of
    p(g|i) over the history, by its weights, q(g) that over the first k; an item with n values has each by 1/n, one
    without is left out. NaN for a user whose history has no value; -log(a) = 4.6 for a list that has none of them.

    Source: Steck, Calibrated Recommendations (2018), equations 2 to 5.
    """

    k: int
    column: str
    family: ClassVar[str] = "miscalibration"
    better: ClassVar[int] = LOWER

    @property
    def name(self) -> str:
        """`miscalibration@k[COLUMN]`."""
        return f"miscalibration@{self.k}[{self.column}]"

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        shares, histories = lists.facts.attributes(self.column).shares, lists.known_histories
        likes = histories.maximum(0)
        shown = indicators(lists.rows[:, : self.k], histories.shape[1])
        return divergence(_distributions(csr_array(likes) @ shares), _distributions(shown @ shares))


@dataclass(frozen=True)
class Diversity:
    """Mean over all pairs of the first k of 1 - cosine; NaN for a list with fewer than two items that can be compared.

    With a column items are compared by its values (an item without any is left out), without one by who touched them
    in the training part.

    Source: Ziegler, McNee, Konstan & Lausen, Improving Recommendation Lists Through Topic Diversification (2005);
    as a distance: Vargas & Castells (2011), EILD without rank and relevance.
    """

    k: int
    column: str = ""
    family: ClassVar[str] = "diversity"
    better: ClassVar[int] = NEITHER

    @property
    def name(self) -> str:
        """`diversity@k` or `diversity@k[COLUMN]`."""
        return f"diversity@{self.k}" + (f"[{self.column}]" if self.column else "")

    def per_user(self, lists: RankedLists) -> Float64Array:
        """Value of each user."""
        facts = lists.facts
        vectors = facts.attributes(self.column).directions if self.column else facts.behaviour
        shown = indicators(lists.rows[:, : self.k], vectors.shape[0])
        n = shown @ (np.diff(vectors.indptr) > 0).astype(np.float64)
        # The sum of all cosines of n unit vectors, their own with themselves included, is |sum of the vectors|^2.
        summed = csr_array(shown @ vectors).astype(np.float64)
        cosines = np.asarray(summed.multiply(summed).sum(axis=1)).ravel() - n
        pairs = n * (n - 1)
        found: Float64Array = np.divide(pairs - cosines, pairs, out=np.full(len(n), np.nan), where=pairs > 0)
        return found


def divergence(wanted: Float64Array, found: Float64Array, smoothing: float = SMOOTHING) -> Float64Array:
    """KL(wanted || smoothed found) of each row, shape (n,); NaN where nothing is wanted.

    Args:
        wanted: distributions, shape (n, n_values); rows of zeros for none.
        found: likewise.
    """
    mixed = (1 - smoothing) * found + smoothing * wanted
    terms = wanted * np.log(np.divide(wanted, mixed, out=np.ones_like(wanted), where=wanted > 0))
    values: Float64Array = np.where(wanted.sum(axis=1) > 0, np.maximum(terms.sum(axis=1), 0.0), np.nan)
    return values


def _distributions(sums: csr_array) -> Float64Array:
    """Rows that sum to 1, shape (n, n_values); rows of zeros stay."""
    dense = sums.toarray().astype(np.float64)
    total = dense.sum(axis=1, keepdims=True)
    shares: Float64Array = np.divide(dense, total, out=np.zeros_like(dense), where=total > 0)
    return shares
