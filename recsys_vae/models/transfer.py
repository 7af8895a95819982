"""Transfer: what a model has learned over one catalogue as the beginning of a model over another.

Rows of items that both hold are carried over, rows of items that are gone are left behind, and what does not depend on
the catalogue is taken as it is. A new item j begins with

    content given      [1 c_j] B                                   the ridge regression of `content`
    otherwise          sum_i s_ij v_i / sum_i s_ij,  s_ij = n_ij / sqrt(n_i n_j)

v_i are the rows of familiar items, of which those with the largest cosines s count; n_ij is the number of users of
both. An item without neighbours begins as the mean of all. Its bias makes it as likely as items of its popularity:

    b_j = a + c log n_j - v_j h

h is the mean of the users' hidden vectors, and a + c log n the line through v_i h + b_i of the familiar items.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.data.features import check_metadata
from recsys_vae.data.histories import binarise, check_histories
from recsys_vae.data.signals import liked
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models.autoencoder import Autoencoder
from recsys_vae.models.content import HALF_TRUSTED, predicted
from recsys_vae.models.trainable import Trainable
from recsys_vae.protocols import BoolArray, Float32Array, Int64Array, takes_order

L2 = 10.0
"""Of the ridge regression on content, as for items that nobody has touched."""
LOOKED_AT = 1000
"""Users over whom hidden vectors are averaged."""

Array = NDArray[np.floating]


def transfer(
    parent: Trainable,
    model: Trainable,
    rows: Int64Array,
    interactions: csr_array,
    *,
    order: csr_array | None = None,
    content: csr_array | None = None,
    neighbours: int = 50,
) -> None:
    """Give a model the weights of its parent, in place.

    Args:
        parent: that has learned.
        model: equally configured, over the catalogue that is wanted.
        rows: the parent's row of each item of the model, shape (n_items,); -1 for new items.
        interactions: from which neighbours and popularity of new items are counted, signed where the model takes
            dislikes, shape (n_users, n_items).
        order: of the interactions, for models that go by it.
        content: of the items, shape (n_items, n_features); neighbours count where it is None.
        neighbours: familiar items of which a new one is made.

    Raises:
        ConfigError: the two are not equally configured.
        DataError: rows, interactions or content are of another catalogue, or the catalogues have no item in common.
    """
    _check(parent, model, rows, interactions)
    if content is not None:
        check_metadata(content, model.n_items, content.shape[1])
    positives = liked(interactions)
    counts = np.bincount(positives.indices, minlength=model.n_items)
    is_new = rows < 0
    shares = neighbour_shares(positives, is_new, neighbours) if is_new.any() and content is None else None
    axes, learned = item_axes(model), {}
    for name, tensor in parent.tensors().items():
        if name not in axes:
            learned[name] = tensor
            continue
        table = np.moveaxis(np.asarray(tensor), axes[name], 0)
        carried = np.where(is_new.reshape(-1, *[1] * (table.ndim - 1)), table.dtype.type(0), table[rows])
        if is_new.any():
            flat = carried.reshape(len(rows), -1)
            flat[is_new] = _begun(flat, is_new, counts, content, shares)
        learned[name] = np.ascontiguousarray(np.moveaxis(carried, 0, axes[name]))
    model.load_tensors(learned)
    if isinstance(model, Autoencoder) and is_new.any():
        _set_biases(model, is_new, counts, interactions, order)


def item_axes(model: Trainable) -> Mapping[str, int]:
    """By name of each tensor whose size depends on the catalogue, the axis along which items lie."""
    with torch.random.fork_rng(devices=[]):
        few, more = (type(model)(n_items, model.config).state_dict() for n_items in (2, 3))
    return {
        name: axis
        for name, tensor in few.items()
        for axis, (size, grown) in enumerate(zip(tensor.shape, more[name].shape, strict=True))
        if size != grown
    }


def neighbour_shares(interactions: csr_array, is_new: BoolArray, neighbours: int) -> csr_array:
    """What familiar items contribute to each new one, shape (n_new, n_familiar); rows sum to 1, or are empty.

    Args:
        interactions: shape (n_users, n_items).
        is_new: one flag an item.
        neighbours: entries of a row that are kept, the largest.
    """
    binary = binarise(interactions).tocsc()
    counts = np.maximum(np.diff(binary.indptr), 1)
    together = csr_array(binary[:, is_new].T @ binary[:, ~is_new])
    together.sort_indices()
    scaled = together.data / np.sqrt(counts[~is_new][together.indices])  # a row's own factor cancels
    kept = np.zeros(together.nnz, dtype=np.bool_)
    for start, end in zip(together.indptr, together.indptr[1:], strict=False):
        kept[start + np.argsort(-scaled[start:end], kind="stable")[:neighbours]] = True
    shares = csr_array((np.where(kept, scaled, 0.0), together.indices, together.indptr), shape=together.shape)
    shares.eliminate_zeros()
    sums = np.asarray(shares.sum(axis=1)).ravel()
    shares.data /= np.repeat(sums, np.diff(shares.indptr))
    return shares


def _begun(
    table: Array, is_new: BoolArray, counts: NDArray[np.integer], content: csr_array | None, shares: csr_array | None
) -> Array:
    """Rows of the new items, shape (n_new, d), from those of the familiar ones."""
    if content is not None:
        trusted = np.where(is_new, 0, np.maximum(counts, 1))
        return predicted(content, table, trusted, l2=L2)
    assert shares is not None
    familiar = table[~is_new]
    found: Array = shares @ familiar
    found[np.diff(shares.indptr) == 0] = familiar.mean(axis=0)
    return found


def _set_biases(
    model: Autoencoder,
    is_new: BoolArray,
    counts: NDArray[np.integer],
    interactions: csr_array,
    order: csr_array | None,
) -> None:
    """Make new items as likely as familiar ones of their popularity."""
    users = np.flatnonzero(np.diff(liked(interactions).indptr))
    some = np.sort(np.random.default_rng(0).permutation(users)[:LOOKED_AT])
    histories = interactions[some]
    if takes_order(model):
        hidden = model.encode(histories, order=None if order is None else order[some]).mean(axis=0)
    else:
        hidden = model.encode(histories).mean(axis=0)
    vectors: Float32Array = model.item_vectors()
    logits, popularity = vectors @ hidden, np.log(np.maximum(counts, 0.5))
    known = ~is_new & (counts > 0)
    trust = np.sqrt(counts[known] / (counts[known] + HALF_TRUSTED))
    design = np.stack([np.ones(known.sum()), popularity[known]], axis=1)
    line = np.linalg.lstsq(trust[:, None] * design, trust * logits[known], rcond=None)[0]
    wanted = line[0] + line[1] * popularity[is_new]
    biases = vectors[is_new, -1] + wanted - logits[is_new]
    with torch.no_grad():
        model.output.bias[torch.from_numpy(is_new)] = torch.from_numpy(biases).to(model.output.bias)


def _check(parent: Trainable, model: Trainable, rows: Int64Array, interactions: csr_array) -> None:
    if type(parent) is not type(model) or parent.config != model.config:
        raise ConfigError(
            f"Weights carry over between models of one configuration; got {parent.config} and {model.config}. Update "
            "with the settings of the parent, or train anew."
        )
    check_histories(interactions, model.n_items, signed=model.is_signed)
    if rows.shape != (model.n_items,) or rows.max(initial=-1) >= parent.n_items:
        raise DataError(
            f"Expected a row below {parent.n_items} of the parent, or -1, for each of {model.n_items} items."
        )
    if (rows < 0).all():
        raise DataError("The model and the new data have no item in common: train anew.")
    if not interactions.nnz:
        raise DataError("No user has a history: there is nothing to learn from.")
