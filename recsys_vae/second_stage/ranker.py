"""Ranker: the second stage as it is served: the order of candidates by trees, in the scores of the first stage.

The candidates of a user keep the scores that the first stage gave them, all together, but the one that trees like best
gets the highest of them, and so on. So scores stay on one scale with those of items that are no candidates, of
newcomers and of boosts; the best `depth` of the first stage being candidates, that many places are ordered by the
trees, and what follows is in the order of the first stage.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.recency import Recency
from recsys_vae.errors import DataError
from recsys_vae.protocols import Float32Array, Int64Array
from recsys_vae.second_stage.candidates import SCORES_AT_ONCE, Candidates, best_first
from recsys_vae.second_stage.trees import Trees


@dataclass(frozen=True, eq=False)
class Ranker:
    """The second stage of a bundle.

    Attributes:
        candidates: what is ranked, and by which features.
        trees: by which order.

    Raises:
        DataError: the trees are of other features.
    """

    candidates: Candidates
    trees: Trees

    def __post_init__(self) -> None:
        if self.trees.n_features != len(self.candidates.names):
            raise DataError(f"The trees are of {self.trees.n_features} features, not of {len(self.candidates.names)}.")

    def rerank(
        self, scores: Float32Array, histories: csr_array, rows: Int64Array, recency: Recency | None = None
    ) -> None:
        """Put the candidates of some users in order, in place.

        Args:
            scores: of the first stage, shape (n, n_items).
            histories: of the same users, which may be signed.
            rows: of the users, ascending.
            recency: of the same users as the scores.
        """
        at_once = max(1, SCORES_AT_ONCE // max(1, scores.shape[1]))
        for start in range(0, len(rows), at_once):
            some = rows[start : start + at_once]
            theirs = None if recency is None else recency[some]
            pairs = self.candidates.of(scores[some], histories[some], recency=theirs)
            users = some[pairs.users]
            order = best_first(users, self.trees.score(pairs.features))
            before = scores[users, pairs.items]
            scores[users, pairs.items[order]] = descending(users, before[best_first(users, before)])


def descending(users: Int64Array, values: Float32Array) -> Float32Array:
    """Values that fall within each user, equal ones made to, each by the least that float32 can tell from the last.

    Args:
        users: of the values, ascending.
        values: not ascending within a user.
    """
    is_tied = np.zeros(len(values), dtype=np.bool_)
    is_tied[1:] = (users[1:] == users[:-1]) & (values[1:] == values[:-1])
    if not is_tied.any():
        return values
    numbers = np.arange(len(values))
    nth = numbers - np.maximum.accumulate(np.where(is_tied, 0, numbers))
    return (values - nth * np.spacing(np.abs(values))).astype(np.float32)
