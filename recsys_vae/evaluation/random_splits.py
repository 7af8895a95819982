"""Splits drawn at random: `strong` (held-out users) and `given` (a published test part, validation drawn)."""

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import ConfigError, DataError, EmptyDataError
from recsys_vae.evaluation import entries
from recsys_vae.evaluation.splits import HeldOut, Split, drop_unlearnable, over_catalogue, take_users
from recsys_vae.protocols import Int64Array


def strong(
    interactions: Interactions,
    *,
    heldout: float = 0.1,
    fold_in: float = 0.8,
    seed: int = 0,
    min_items: int = 5,
    dislikes: csr_array | None = None,
) -> Split:
    """Hold out users: the model never trains on them, is shown most of their items and asked for the rest.

    The catalogue is what the training users have touched; other items of held-out users are dropped and counted. A
    held-out user keeps at least one item on either side; with fewer than two there is nothing to ask, and the user is
    counted.

    Args:
        heldout: users for validation, and as many for test: a share below 1, or a count from 1.
        fold_in: share of a held-out user's items that the model is shown, between 0 and 1.
        seed: of the draw of users and of items.
        min_items: users with fewer items are left out of the whole split, training too, and counted (5 in the paper).
        dislikes: what the users dislike, weights above 0, of the shape of the interactions. Of a held-out user's, as
            many are shown as of the items, by the same share.

    Raises:
        ConfigError: a share is outside its range, or fewer than one training user would remain.

    Source: Liang, Krishnan, Hoffman & Jebara, Variational Autoencoders for Collaborative Filtering (2018), section 4.1.
    """
    if not 0 < fold_in < 1:
        raise ConfigError(f"fold_in is the share of items shown, between 0 and 1; got {fold_in}.")
    rng = np.random.default_rng(seed)
    asked = np.flatnonzero(entries.row_lengths(interactions.matrix) >= max(min_items, 1))
    if not asked.size:
        raise ConfigError(f"No user has {min_items} items or more. Lower --min-items (min_items), or gather more data.")
    n = _heldout_users(heldout, asked.size)
    drawn = asked[rng.permutation(asked.size)]
    test_users, validation_users, train_users = (np.sort(part) for part in np.split(drawn, [n, 2 * n]))

    train = take_users(interactions, train_users)
    catalogue = entries.seen_columns(train.matrix)
    counts = {
        "users_with_too_few_items": interactions.n_users - asked.size,
        "items_without_training_users": interactions.n_items - catalogue.size,
    }
    parts, disliking = {}, np.random.default_rng([seed, 1])  # apart: what is liked is drawn alike with and without
    for name, rows in (("validation", validation_users), ("test", test_users)):
        whole = take_users(interactions, rows)
        known = over_catalogue(whole, catalogue)
        counts[f"{name}_interactions_outside_catalogue"] = whole.matrix.nnz - known.matrix.nnz
        parts[name] = _fold_in(known, fold_in, rng)
        counts[f"{name}_users_without_targets"] = parts[name].n_without_targets
        if dislikes is not None:
            theirs = entries.keep_columns(dislikes[rows], catalogue)
            parts[name] = replace(parts[name], **_fold_in_dislikes(theirs, fold_in, disliking))
    return Split(
        "strong",
        over_catalogue(train, catalogue),
        parts["validation"],
        parts["test"],
        counts=counts,
        train_dislikes=None if dislikes is None else entries.keep_columns(dislikes[train_users], catalogue),
    )


def given(
    interactions: Interactions,
    test_pairs: csr_array,
    *,
    validation: float = 0.1,
    validation_users: int | None = None,
    seed: int = 0,
    dislikes: csr_array | None = None,
) -> Split:
    """Take the published test part as it is; cut a validation part from the rest, at random, user by user.

    `refit` is the whole published training part, and its items are the catalogue; `train` is without validation.

    Args:
        interactions: all of them, training and test.
        test_pairs: shape (n_users, n_items), its entries are the published test pairs.
        validation: share of each user's training items, rounded to a whole number, at least one item stays.
        validation_users: draw the validation part from only so many users; from all when None.
        seed: of the draw.
        dislikes: what the users dislike by the published training part, weights above 0, of the shape of the
            interactions.

    Raises:
        DataError: the test pairs do not fit the interactions.
        EmptyDataError: the training or the validation part would be empty.
        ConfigError: the share is outside 0 .. 1, or `validation_users` below 1.
    """
    _check_given(interactions, test_pairs, validation, validation_users)
    is_test = entries.contains(test_pairs, entries.entry_keys(interactions.matrix))
    if not is_test.any() or is_test.all():
        raise EmptyDataError("The published test part leaves no test or no training interaction. Check its ids.")
    training = Interactions(entries.pick(interactions.matrix, ~is_test), interactions.users, interactions.items)
    published = Interactions(entries.pick(interactions.matrix, is_test), interactions.users, interactions.items)
    catalogue = entries.seen_columns(training.matrix)
    known, targets = over_catalogue(training, catalogue), over_catalogue(published, catalogue)

    rng = np.random.default_rng(seed)
    chosen = entries.draw(known.matrix, _validation_sizes(known.matrix, validation, validation_users, rng), rng)
    if not chosen.any():
        raise EmptyDataError(
            f"No user has so many training items that {validation:.0%} of them make one. Give a larger validation "
            "share."
        )
    train = Interactions(entries.pick(known.matrix, ~chosen), known.users, known.items)
    disliked = None if dislikes is None else entries.keep_columns(dislikes, catalogue)
    asked = HeldOut(known.users, train.matrix, entries.pick(known.matrix, chosen), dislikes=disliked).asked()
    held_out, unlearnable = drop_unlearnable(asked, train.item_counts())
    test = HeldOut(known.users, known.matrix, targets.matrix, dislikes=disliked).asked()
    counts = {
        "test_pairs_not_among_interactions": test_pairs.nnz - published.matrix.nnz,
        "test_interactions_outside_catalogue": published.matrix.nnz - targets.matrix.nnz,
        "test_users_without_targets": int(np.count_nonzero(entries.row_lengths(test_pairs))) - len(test.users),
        "validation_interactions_outside_training": unlearnable,
        "validation_users_without_targets": held_out.n_without_targets,
    }
    return Split(
        "given", train, held_out, test, refit=known, counts=counts, train_dislikes=disliked, refit_dislikes=disliked
    )


def _heldout_users(heldout: float, n_users: int) -> int:
    """Number of users for either part."""
    if not heldout > 0 or (heldout > 1 and heldout != int(heldout)):
        raise ConfigError(f"heldout is a share below 1 or a whole number of users; got {heldout}.")
    n = max(1, int(heldout * n_users + 1e-9)) if heldout < 1 else int(heldout)
    if 2 * n >= n_users:
        raise ConfigError(f"Two parts of {n} held-out users leave none of {n_users} to train on. Hold out fewer.")
    return n


def _fold_in(users: Interactions, share: float, rng: np.random.Generator) -> HeldOut:
    lengths = entries.row_lengths(users.matrix)
    # The floor of a product such as 5 * (1 - 0.8) must not fall to 0 by rounding.
    n_targets = np.clip((lengths * (1 - share) + 1e-9).astype(np.int64), 1, None)
    is_target = entries.draw(users.matrix, np.where(lengths >= 2, n_targets, 0), rng)
    return HeldOut(users.users, entries.pick(users.matrix, ~is_target), entries.pick(users.matrix, is_target))


def _fold_in_dislikes(matrix: csr_array, share: float, rng: np.random.Generator) -> dict[str, csr_array]:
    later = entries.draw(matrix, (entries.row_lengths(matrix) * (1 - share) + 1e-9).astype(np.int64), rng)
    return {"dislikes": entries.pick(matrix, ~later), "disliked_later": entries.pick(matrix, later)}


def _validation_sizes(matrix: csr_array, share: float, n_users: int | None, rng: np.random.Generator) -> Int64Array:
    lengths = entries.row_lengths(matrix)
    rounded = np.floor(lengths * share + 0.5).astype(np.int64)
    sizes: Int64Array = np.minimum(rounded, np.maximum(lengths - 1, 0))
    if n_users is not None:
        unasked = rng.permutation(np.flatnonzero(sizes))[n_users:]
        sizes[unasked] = 0
    return sizes


def _check_given(
    interactions: Interactions, test_pairs: csr_array, validation: float, validation_users: int | None
) -> None:
    if test_pairs.shape != interactions.matrix.shape:
        raise DataError(f"Test pairs have shape {test_pairs.shape}, the interactions {interactions.matrix.shape}.")
    if not 0 < validation < 1:
        raise ConfigError(f"validation is the share of each user's training items, between 0 and 1; got {validation}.")
    if validation_users is not None and validation_users < 1:
        raise ConfigError(f"validation_users is a number of users, at least 1; got {validation_users}.")
