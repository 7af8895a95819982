"""The ladder: which tier answers a user. The one scorer of batch jobs and service.

history   the encoder folds the history in, the decoder ranks the catalogue
popular   nothing is known about the user: what most users have interacted with
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.bundle import Bundle
from recsys_vae.errors import ConfigError
from recsys_vae.interactions import check_histories
from recsys_vae.protocols import BoolArray, FactorizedRecommender, Float32Array, Index, Int64Array, TopK
from recsys_vae.top_k import check_k, top_k

HISTORY: Final = "history"
POPULAR: Final = "popular"


@dataclass(frozen=True)
class Answers:
    """Ranked items of n users.

    Attributes:
        rows: item rows, shape (n, k), best first; -1 where fewer than k items were allowed.
        scores: shape (n, k); comparable within one answer only.
        tiers: which tier answered, one name a user.
        scorer: which index or model computed the scores.
    """

    rows: Int64Array
    scores: Float32Array
    tiers: tuple[str, ...]
    scorer: str


class Ladder:
    """Answers for any user from one bundle.

    Args:
        bundle: what answers.
        index: searched instead of the bundle's own; over the same item vectors.
    """

    def __init__(self, bundle: Bundle, index: Index | None = None) -> None:
        self.bundle = bundle
        self._index = index if index is not None else bundle.index
        self._popularity = bundle.popularity

    def recommend(
        self,
        histories: csr_array,
        k: int,
        *,
        allowed: BoolArray | None = None,
        excluded: csr_array | None = None,
        keep_seen: bool = False,
    ) -> Answers:
        """The k best items of each user.

        Args:
            histories: what is known of each user, shape (n, n_items); an empty row is a user without history.
            k: at least 1.
            allowed: shape (n_items,), the items that any user may get; all when None.
            excluded: shape (n, n_items), items that this user may not get, besides those in the history.
            keep_seen: also recommend items of the history.

        Raises:
            ConfigError: k < 1, or a mask of another shape.
            DataError: the histories are of another catalogue.
        """
        check_k(k)
        check_histories(histories, self.bundle.model.n_items)
        hidden = _union(None if keep_seen else histories, excluded)
        known = np.diff(histories.indptr) > 0
        rows = np.full((histories.shape[0], k), -1, dtype=np.int64)
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        for tier, users in ((self._by_history, np.flatnonzero(known)), (self._by_popularity, np.flatnonzero(~known))):
            if len(users):
                found = tier(histories[users], k, allowed, None if hidden is None else hidden[users])
                rows[users], scores[users] = found.rows, found.scores
        tiers = tuple(HISTORY if is_known else POPULAR for is_known in known)
        return Answers(rows, scores, tiers, self.scorer)

    @property
    def scorer(self) -> str:
        """What computes the scores of users with a history."""
        return self._index.name if self._index is not None else self.bundle.manifest.model

    def similar(self, item_row: int, k: int, *, allowed: BoolArray | None = None) -> TopK:
        """The items most similar to one item, itself left out; shapes (1, k).

        Similarity is the cosine of the item vectors, without their bias; models that are not factorised, and those of
        one dimension, score the history that holds this item alone.
        """
        check_k(k)
        model = self.bundle.model
        if not 0 <= item_row < model.n_items:
            raise ConfigError(f"Item rows lie in 0..{model.n_items - 1}, got {item_row}.")
        alone = csr_array((np.ones(1, np.float32), [item_row], [0, 1]), shape=(1, model.n_items))
        vectors = model.item_vectors()[:, :-1] if isinstance(model, FactorizedRecommender) else None
        scores = model.score(alone) if vectors is None or not vectors.shape[1] else _cosines(vectors, item_row)
        return top_k(scores, k, allowed=allowed, excluded=alone)

    def _by_history(self, histories: csr_array, k: int, allowed: BoolArray | None, excluded: csr_array | None) -> TopK:
        model = self.bundle.model
        if self._index is not None and isinstance(model, FactorizedRecommender):
            return self._index.search(model.encode(histories), k, allowed, excluded)
        return top_k(model.score(histories), k, allowed=allowed, excluded=excluded)

    def _by_popularity(
        self, histories: csr_array, k: int, allowed: BoolArray | None, excluded: csr_array | None
    ) -> TopK:
        n = histories.shape[0]
        if excluded is not None and excluded.nnz:
            return top_k(np.tile(self._popularity, (n, 1)), k, allowed=allowed, excluded=excluded)
        same = top_k(self._popularity[None, :].copy(), k, allowed=allowed)
        return TopK(np.repeat(same.rows, n, axis=0), np.repeat(same.scores, n, axis=0))


def _union(first: csr_array | None, second: csr_array | None) -> csr_array | None:
    if first is None or second is None:
        return second if first is None else first
    if first.shape != second.shape:
        raise ConfigError(f"excluded has shape {second.shape}, expected {first.shape}, as the histories.")
    union = csr_array(first + second)
    union.sort_indices()
    return union


def _cosines(vectors: Float32Array, row: int) -> Float32Array:
    norms = np.linalg.norm(vectors, axis=1)
    products = vectors @ vectors[row]
    return np.asarray(products / np.maximum(norms * norms[row], 1e-12), dtype=np.float32)[None, :]
