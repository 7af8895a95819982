"""The ladder: which tier answers a user. The one scorer of batch jobs and service.

history   the encoder folds the history in, the decoder ranks the catalogue
popular   nothing is known about the user: what most users have interacted with
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.bundle import Bundle
from recsys_vae.errors import ConfigError
from recsys_vae.interactions import check_histories
from recsys_vae.protocols import BoolArray, FactorizedRecommender, Float32Array, Index, Int64Array, TopK
from recsys_vae.top_k import check_k, check_masks, top_k

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


Tier = Callable[["Users", int, BoolArray | None, csr_array | None], TopK]


@dataclass(frozen=True, eq=False)
class Users:
    """Users as the ladder sees them, encoded once however often they are then searched for.

    Attributes:
        histories: shape (n, n_items).
        known: whether anything is in the history, shape (n,).
        queries: what item vectors are multiplied with, shape (n, d); None where the model is not factorised.
    """

    histories: csr_array
    known: BoolArray
    queries: Float32Array | None

    def __len__(self) -> int:
        return len(self.known)

    def __getitem__(self, chosen: Int64Array) -> "Users":
        if len(chosen) == len(self) and (chosen == np.arange(len(self))).all():
            return self
        queries = None if self.queries is None else self.queries[chosen]
        return Users(self.histories[chosen], self.known[chosen], queries)

    @property
    def tiers(self) -> tuple[str, ...]:
        """Which tier answers, one name a user."""
        return tuple(HISTORY if is_known else POPULAR for is_known in self.known)


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
        users = self.encode(histories)
        hidden = _union(None if keep_seen else histories, excluded)
        found = self.search(users, k, allowed=allowed, hidden=hidden)
        return Answers(found.rows, found.scores, users.tiers, self.scorer)

    def encode(self, histories: csr_array, *, as_known: bool = False) -> Users:
        """Users by their histories, shape (n, n_items): one pass of the encoder.

        Args:
            histories: what is known of each user.
            as_known: let the model answer for empty histories too, rather than the next tier.

        Raises:
            DataError: the histories are of another catalogue.
        """
        model = self.bundle.model
        check_histories(histories, model.n_items)
        known = (np.diff(histories.indptr) > 0) | as_known
        queries = model.encode(histories) if isinstance(model, FactorizedRecommender) and known.any() else None
        return Users(histories, known, queries)

    def search(
        self, users: Users, k: int, *, allowed: BoolArray | None = None, hidden: csr_array | None = None
    ) -> TopK:
        """The k best items of each user, shapes (n, k).

        Args:
            users: of `encode`.
            k: at least 1.
            allowed: shape (n_items,), the items that any user may get; all when None.
            hidden: shape (n, n_items), items that this user may not get: nothing else is hidden, not even the history.

        Raises:
            ConfigError: k < 1, or a mask of another shape.
        """
        check_k(k)
        check_masks((len(users), self.bundle.model.n_items), allowed, hidden)
        rows = np.full((len(users), k), -1, dtype=np.int64)
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        for tier, chosen in self._tiers(users):
            if len(chosen):
                theirs = hidden if hidden is None or len(chosen) == len(users) else hidden[chosen]
                found = tier(users[chosen], k, allowed, theirs)
                rows[chosen], scores[chosen] = found.rows, found.scores
        return TopK(rows, scores)

    def scores(self, users: Users, rows: Int64Array | None = None) -> Float32Array:
        """Scores of the items `rows`, of all when None, by the tier of each user; shape (n, len(rows))."""
        model, wanted = self.bundle.model, slice(None) if rows is None else rows
        if users.queries is not None and isinstance(model, FactorizedRecommender):
            scores = np.asarray(users.queries @ self.item_vectors[wanted].T)
        elif users.known.any():
            scores = model.score(users.histories)[:, wanted]
        else:
            scores = np.empty((len(users), len(self._popularity[wanted])), dtype=np.float32)
        scores[~users.known] = self._popularity[wanted]
        return scores

    @cached_property
    def item_vectors(self) -> Float32Array:
        """Of a factorised model, shape (n_items, d); made once."""
        assert isinstance(self.bundle.model, FactorizedRecommender)
        return self.bundle.index.vectors if self.bundle.index is not None else self.bundle.model.item_vectors()

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
        scores = self._cosines(item_row) if self.has_directions else model.score(alone)
        return top_k(scores, k, allowed=allowed, excluded=alone)

    @cached_property
    def has_directions(self) -> bool:
        """Whether items have vectors, besides a bias, whose directions can be compared."""
        return isinstance(self.bundle.model, FactorizedRecommender) and self.item_vectors.shape[1] > 1

    def directions(self, rows: Int64Array) -> Float32Array:
        """Vectors of items without their bias, of length 1, shape (len(rows), d - 1)."""
        return np.asarray(self.item_vectors[rows, :-1] / self._lengths[rows, None])

    @cached_property
    def _lengths(self) -> Float32Array:
        return np.asarray(np.maximum(np.linalg.norm(self.item_vectors[:, :-1], axis=1), 1e-12), dtype=np.float32)

    def _cosines(self, row: int) -> Float32Array:
        products = self.item_vectors[:, :-1] @ self.directions(np.array([row]))[0]
        return np.asarray(products / self._lengths, dtype=np.float32)[None, :]

    def _tiers(self, users: Users) -> list[tuple[Tier, Int64Array]]:
        return [(self._by_history, np.flatnonzero(users.known)), (self._by_popularity, np.flatnonzero(~users.known))]

    def _by_history(self, users: Users, k: int, allowed: BoolArray | None, hidden: csr_array | None) -> TopK:
        if self._index is not None and users.queries is not None:
            return self._index.search(users.queries, k, allowed, hidden)
        return top_k(self.bundle.model.score(users.histories), k, allowed=allowed, excluded=hidden)

    def _by_popularity(self, users: Users, k: int, allowed: BoolArray | None, hidden: csr_array | None) -> TopK:
        n = len(users)
        if hidden is not None and hidden.nnz:
            return top_k(np.tile(self._popularity, (n, 1)), k, allowed=allowed, excluded=hidden)
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
