"""Lists with what users have bought before: scores of the fallback chain and the bundle's repeat-purchase head."""

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.purchases import Purchases
from recsys_vae.data.signals import Repeat
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models.repeat import RepeatHead
from recsys_vae.protocols import BoolArray, Float32Array, TopK
from recsys_vae.recommender import POPULAR, FallbackChain, Users
from recsys_vae.top_k import check_k, top_k


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
    head = chain.bundle.repeat
    if head is None:
        raise ConfigError("This bundle has no repeat-purchase head: write it with one, or ask without `repeat`.")
    if purchases.counts.shape != (len(users), chain.n_items):
        raise DataError(f"Purchases have shape {purchases.counts.shape}, expected {(len(users), chain.n_items)}.")
    return top_k(head.blended(_scores(chain, users, head), purchases, repeat), k, allowed=allowed, excluded=hidden)


def _scores(chain: FallbackChain, users: Users, head: RepeatHead) -> Float32Array:
    """Of all items, by the tier of each user, on the scale of the head's temperature."""
    scores = chain.scores(users)
    others = ~users.encoded
    if chain.bundle.tiers.segments is None:  # popularity as counts, not as logarithms of shares
        others &= users.tier_names == POPULAR
        scores[others] = np.log(scores[others] + 0.5)
    scores[~users.encoded] *= np.float32(head.temperature)
    return scores
