"""Lists with what users have bought before: scores of the fallback chain and the bundle's repeat-purchase head.

The one path of service, batch jobs and evaluation, wherever what was bought may come back: `scores`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.data.purchases import Purchases
from recsys_vae.data.recency import Recency
from recsys_vae.data.signals import Repeat, liked
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models.repeat import RepeatHead
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array, TopK
from recsys_vae.recommender import POPULAR, FallbackChain, Users
from recsys_vae.top_k import check_k, top_k

REPEAT = "repeat"
"""Source of an item that was bought before, and what computes its score."""


def search(
    chain: FallbackChain,
    users: Users,
    purchases: Purchases,
    k: int,
    repeat: Repeat,
    *,
    allowed: BoolArray | None = None,
    hidden: csr_array | None = None,
) -> TopK:
    """The k best items of each user for the next visit, by expected numbers, shapes (n, k); scores are logarithms.

    Args:
        chain: of a bundle with a repeat-purchase head.
        users: of `chain.encode`.
        purchases: of the same users, over the items of the bundle, seen from now.
        k: at least 1; fewer come back where a user has bought fewer, with `only`.
        repeat: `allow` what was bought before, `exclude` it, or ask for that `only`.
        allowed: shape (n_items,), the items that any user may get; all when None.
        hidden: shape (n, n_items), items that this user may not get: what they dislike, for one.

    Raises:
        ConfigError: the bundle has no such head, k < 1, another word for `repeat`, or a mask of another shape.
        DataError: purchases are of other users or items.
    """
    check_k(k)
    return top_k(scores(chain, users, purchases, repeat), k, allowed=allowed, excluded=hidden)


def scores(
    chain: FallbackChain,
    users: Users,
    purchases: Purchases,
    repeat: Repeat = "allow",
    *,
    scored_by: Callable[[Users], Float32Array] | None = None,
) -> Float32Array:
    """Logarithms of expected numbers in the next visit, shape (n, n_items); -inf for what `repeat` does not ask for.

    Args:
        chain, users, purchases, repeat: as of `search`.
        scored_by: the chain's scores of all items, where not those of its lists: before the second stage, say.

    Raises:
        ConfigError, DataError: as of `search`.
    """
    head = _head(chain)
    if purchases.counts.shape != (len(users), chain.n_items):
        raise DataError(f"Purchases have shape {purchases.counts.shape}, expected {(len(users), chain.n_items)}.")
    if repeat == "only":
        return head.again(purchases)
    return head.blended(_scores(chain, users, head, scored_by or chain.scores), purchases, repeat)


def scores_of_newcomers(
    chain: FallbackChain, users: Users, purchases: Purchases, vectors: Float32Array
) -> Float32Array:
    """Scores of items that are not in the bundle, comparable with `scores`, shape (n, n_newcomers).

    Args:
        chain, users, purchases: as of `search`; the users on tiers of a factorised model.
        vectors: of the items, shape (n_newcomers, d).
    """
    head = _head(chain)
    return head.as_new(chain.scores_of_newcomers(users, vectors), _scores(chain, users, head, chain.scores), purchases)


def tell_all(purchases: Purchases, histories: csr_array) -> bool:
    """Whether purchases tell of everything that users like: then lists of `only` that need no other scores.

    Args:
        histories: of the same users, which may be signed; what was touched at an unknown time is in no purchase.
    """
    likes = liked(histories)
    rows = np.repeat(np.arange(likes.shape[0]), np.diff(likes.indptr))
    return bool(are_bought(purchases, rows, likes.indices).all())


def are_bought(purchases: Purchases | None, users: Int64Array, rows: Int64Array) -> BoolArray:
    """Whether items of lists were bought before by whom the list is for, shape (n,); nothing where None.

    Args:
        purchases: of all the users.
        users: row of the user, shape (n,).
        rows: of the items, shape (n,).
    """
    if purchases is None or not purchases.counts.nnz:
        return np.zeros(len(rows), np.bool_)
    width = purchases.counts.shape[1]
    return np.isin(users * width + rows, purchases.users * width + purchases.counts.indices)


def sources(
    chain: FallbackChain, tiers: Sequence[str] | NDArray[Any], rows: Int64Array, bought: BoolArray
) -> list[str]:
    """What put each item there: `repeat` for one that its user has bought before, else as of the chain.

    Args:
        tiers: of the items' users.
        rows: of the items.
        bought: whether the user has bought it, shape (len(rows),).
    """
    named = chain.sources(tiers, rows)
    return [REPEAT if again else name for again, name in zip(bought.tolist(), named, strict=True)]


class WithRepeats:
    """A fallback chain whose lists may hold what was bought before, as a model that `evaluate` asks.

    Args:
        chain: of a bundle with a repeat-purchase head.
    """

    takes_purchases = True
    is_signed = True

    def __init__(self, chain: FallbackChain) -> None:
        _head(chain)
        self._chain = chain

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return self._chain.n_items

    @property
    def n_features(self) -> int:
        """Width of the metadata of users; 0 without any."""
        return self._chain.n_features

    @property
    def takes_recency(self) -> bool:
        """Whether the second stage goes by how long ago users and items had their last events."""
        return self._chain.takes_recency

    @property
    def is_sequential(self) -> bool:
        """Whether the model goes by the order of histories."""
        return self._chain.is_sequential

    def score(
        self,
        histories: csr_array,
        metadata: csr_array | None = None,
        order: csr_array | None = None,
        *,
        purchases: Purchases | None = None,
        recency: Recency | None = None,
    ) -> Float32Array:
        """Scores of all items, shape (n, n_items), as they are served.

        Raises:
            DataError: nobody says what the users have bought, or it is of others.
        """
        if purchases is None:
            raise DataError("A repeat-purchase head needs what users have bought: give `purchases` with the histories.")
        return scores(self._chain, self._chain.encode(histories, metadata, order, recency=recency), purchases)


def _head(chain: FallbackChain) -> RepeatHead:
    if chain.bundle.repeat is None:
        raise ConfigError("This bundle has no repeat-purchase head: write it with one, or ask without `repeat`.")
    return chain.bundle.repeat


def _scores(
    chain: FallbackChain, users: Users, head: RepeatHead, scored_by: Callable[[Users], Float32Array]
) -> Float32Array:
    """Of all items, by the tier of each user, on the scale of the head's temperature."""
    found = scored_by(users)
    others = ~users.encoded
    if chain.bundle.tiers.segments is None:  # popularity as counts, not as logarithms of shares
        others &= users.tier_names == POPULAR
        found[others] = np.log(found[others] + 0.5)
    found[~users.encoded] *= np.float32(head.temperature)
    return found
