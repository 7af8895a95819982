"""What models and indexes promise: the contracts that everything above the ground is written against."""

from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Float32Array = NDArray[np.float32]
Int64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
StrArray = NDArray[np.str_]
Tensors = dict[str, NDArray[np.generic]]


class Scorer(Protocol):
    """Scores every item for every history: all that an evaluation asks for."""

    @property
    def n_items(self) -> int:
        """Width of the catalogue that the model was made for."""
        ...

    def score(self, histories: csr_array) -> Float32Array:
        """Score items, shape (n, n_items); higher is better; seen items are not masked here (`top_k` does it).

        Args:
            histories: float32 `csr_array`, shape (n, n_items). An empty row is allowed and gives finite scores.
        """
        ...


@runtime_checkable
class Recommender(Scorer, Protocol):
    """A scorer that has learned, and whose knowledge can be kept."""

    def tensors(self) -> Tensors:
        """What the model has learned, by name: what a bundle or checkpoint keeps."""
        ...

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over what `tensors` of an equally configured model returned."""
        ...


@runtime_checkable
class FactorizedRecommender(Recommender, Protocol):
    """A recommender whose scores are inner products: `score(h) == encode(h) @ item_vectors().T`.

    A bias of the output layer is one more column: 1 in the query, the bias in the item vector. So maximum-inner-product
    search over `item_vectors` ranks exactly as the model does.
    """

    def encode(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        """Queries, shape (n, d).

        Args:
            histories: as in `score`.
            metadata: what else is known of the users, shape (n, n_features); models that take none pass over it.
        """
        ...

    def item_vectors(self) -> Float32Array:
        """Item vectors, shape (n_items, d)."""
        ...


@runtime_checkable
class VectorsByRows(Protocol):
    """A factorised recommender that makes item vectors of some items at a time."""

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        ...

    def some_item_vectors(self, start: int, end: int) -> Float32Array:
        """Item vectors from one row to before another, shape (end - start, d)."""
        ...


@runtime_checkable
class ConditionalRecommender(FactorizedRecommender, Protocol):
    """A factorised recommender that may take metadata of users besides their histories; see `takes_metadata`."""

    @property
    def n_features(self) -> int:
        """Width of the metadata that the model was made for; 0 where it takes none."""
        ...

    def score(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        """Score items, as every recommender does; without metadata all of them are missing."""
        ...


def takes_metadata(model: Scorer) -> TypeGuard[ConditionalRecommender]:
    """Whether a model was made for metadata of users."""
    return bool(getattr(model, "n_features", 0))


@runtime_checkable
class SequentialRecommender(Recommender, Protocol):
    """A recommender that goes by the order of a history; see `takes_order`."""

    @property
    def is_sequential(self) -> bool:
        """Whether this model, as configured, goes by order."""
        ...

    def score(self, histories: csr_array, *, order: csr_array | None = None) -> Float32Array:
        """Score items, as every recommender does.

        Args:
            histories: as in `Scorer.score`.
            order: the pattern of the histories, its data the places of the items in time, above 0, the least recent
                the smallest; shape (n, n_items).

        Raises:
            DataError: there are histories, and no order.
        """
        ...

    def encode(self, histories: csr_array, *, order: csr_array | None = None) -> Float32Array:
        """Queries, shape (n, d), of a model that is factorised, too."""
        ...


def takes_order(model: Scorer) -> TypeGuard[SequentialRecommender]:
    """Whether a model goes by the order of histories."""
    return bool(getattr(model, "is_sequential", False))


def takes_purchases(model: Scorer) -> bool:
    """Whether a model's scores go by how often and when users bought items, beside their histories."""
    return bool(getattr(model, "takes_purchases", False))


def takes_recency(model: Scorer) -> bool:
    """Whether `score` takes `recency`: how long ago users were last there."""
    return bool(getattr(model, "takes_recency", False))


def takes_dislikes(model: Scorer) -> bool:
    """Whether a model may be shown signed histories, in which weights below 0 speak against an item."""
    return bool(getattr(model, "is_signed", False))


@runtime_checkable
class ClosedFormRecommender(Recommender, Protocol):
    """A recommender that is fitted in one step, without gradient descent."""

    def fit(self, interactions: csr_array) -> None:
        """Learn from interactions, shape (n_users, n_items)."""
        ...


@dataclass(frozen=True)
class TopK:
    """The best items of each query, best first.

    Attributes:
        rows: item rows, shape (n, k) int64; -1 where fewer than k items were allowed.
        scores: shape (n, k) float32; -inf where the row is -1.
    """

    rows: Int64Array
    scores: Float32Array


NEVER = np.iinfo(np.int64).max
"""Rank of what no list may hold."""


@dataclass(frozen=True)
class Ranks:
    """The best items of each user, and where the best target stands.

    Attributes:
        rows: item rows, best first, shape (n, k) int64; -1 where fewer than k items were allowed.
        first: rank of the best-placed target among all that is not hidden, from 1, shape (n,); `NEVER` without one.
        are_known: whose lists and ranks these are, shape (n,); of the others nothing is said.
    """

    rows: Int64Array
    first: Int64Array
    are_known: BoolArray

    @classmethod
    def unknown(cls, n: int, k: int) -> "Ranks":
        """Of n users, room for lists of k."""
        return cls(np.full((n, k), -1, dtype=np.int64), np.full(n, NEVER, dtype=np.int64), np.zeros(n, dtype=np.bool_))


class RanksTargets(Scorer, Protocol):
    """A scorer that may know lists and places without a row of scores; whether one does, `ranks_targets` says."""

    def ranks(
        self,
        histories: csr_array,
        metadata: csr_array | None = None,
        *,
        k: int,
        hidden: csr_array,
        targets: csr_array,
        **further: Any,
    ) -> Ranks | None:
        """The k best items of each user by `score`, and the place of the best target, where it takes no row of scores.

        None where it does for everybody.

        Args:
            histories: as in `score`, and so are metadata and whatever else is told.
            k: at least 1.
            hidden: shape (n, n_items), its non-zeros are items that this user may not get.
            targets: shape (n, n_items).
        """
        ...


def ranks_targets(model: Scorer) -> TypeGuard[RanksTargets]:
    """Whether a scorer may know lists without a row of scores."""
    return hasattr(model, "ranks")


class Index(Protocol):
    """Finds the items of largest inner product among those allowed."""

    @property
    def name(self) -> str:
        """What answers name as their scorer: `faiss-flat`, `torch` ..."""
        ...

    @property
    def n_items(self) -> int:
        """Number of vectors in the index; row i belongs to item row i."""
        ...

    def search(
        self, queries: Float32Array, k: int, allowed: BoolArray | None = None, excluded: csr_array | None = None
    ) -> TopK:
        """The k best items of each query.

        Args:
            queries: shape (n, d).
            k: at least 1.
            allowed: shape (n_items,), the items that any query may return; all when None.
            excluded: shape (n, n_items), its non-zeros are items that this query may not return (mostly: seen ones).
        """
        ...
