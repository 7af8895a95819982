"""New items: what a model would have learned about items that nobody has touched, predicted from their content.

    v_new = [1 c_new] B,   B = argmin sum_i w_i |v_i - [1 c_i] B|^2 + l2 |B|^2,   w_i = n_i / (n_i + 10)

v_i are the rows that an autoencoder keeps of item i: in its first layers, where a history adds them up, and in the
output layer, with the bias. c_i is the content (genres, tags, words of a text), n_i the number of users: what was
learned from a few users is trusted little. The constant is not punished. A new item so takes its place in lists and in
the index, and a history of new items means something to the encoder.

Source: mapping content to learned factors: Gantner, Drumond, Freudenthaler, Rendle & Schmidt-Thieme, Learning
Attribute-to-Feature Mappings for Cold-Start Recommendations, ICDM 2010, with ridge regression.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve
from scipy.sparse import csr_array
from torch import Tensor

from recsys_vae.data.features import check_metadata
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.models.autoencoder import Autoencoder
from recsys_vae.nn.sparse_layers import SparseLinear
from recsys_vae.protocols import takes_order
from recsys_vae.top_k import mask, select

HALF_TRUSTED = 10
"""Users of an item whose rows count half."""

BISECTIONS = 20

Array = NDArray[np.float64]


def place_new_items(model: Autoencoder, content: csr_array, counts: NDArray[np.integer], *, l2: float) -> None:
    """Replace what the model keeps of items without users by what their content predicts, in place.

    Args:
        model: trained over a catalogue that holds the new items.
        content: shape (n_items, n_features), encoded by a schema.
        counts: training users of each item, shape (n_items,); 0 for new ones.
        l2: of the ridge regression, above 0.

    Raises:
        ConfigError: l2 is not above 0.
        DataError: content or counts are of another catalogue, or no item has users.
    """
    if not l2 > 0:
        raise ConfigError(f"l2 of a ridge regression is above 0; got {l2}.")
    check_metadata(content, model.n_items, content.shape[1])
    if counts.shape != (model.n_items,) or not counts.any():
        raise DataError(f"Counts of {len(counts)} items, some above 0, expected for {model.n_items} items.")
    with torch.no_grad():
        for table in _tables(model):
            found = predicted(content, table.cpu().numpy(), counts, l2=l2)
            table[torch.from_numpy(counts == 0)] = torch.from_numpy(found).to(table)


def lift_new_items(
    model: Autoencoder,
    histories: csr_array,
    counts: NDArray[np.integer],
    *,
    share: float,
    depth: int = 20,
    order: csr_array | None = None,
) -> float:
    """Add to the bias of new items, in place, until they fill a share of the lists; returns what was added, in nats.

    A prediction is an average: it never reaches the scores of the few items at the top, so without this no new item is
    shown to anybody, however well content ranks them among themselves. What it costs is their share of the places.

    Args:
        histories: users whose lists are looked at, shape (n, n_items).
        counts: training users of each item, shape (n_items,); 0 for new ones.
        share: of the first `depth` places (of a quarter of them all in a small catalogue), above 0 and below 1.
        order: of the histories, for models that go by it.

    Raises:
        ConfigError: the share is outside its range.
    """
    if not 0 < share < 1:
        raise ConfigError(f"The share of new items in lists is above 0 and below 1; got {share}.")
    scores = model.score(histories, order=order) if takes_order(model) else model.score(histories)
    is_new, depth = counts == 0, min(depth, max(1, model.n_items // 4))
    mask(scores, excluded=histories)
    low, high = 0.0, float(np.ptp(scores[np.isfinite(scores)])) if is_new.any() else 0.0
    for _ in range(BISECTIONS if high else 0):
        middle = (low + high) / 2
        found = select(np.where(is_new, scores + np.float32(middle), scores), depth).rows
        low, high = (middle, high) if is_new[found[found >= 0]].mean() < share else (low, middle)
    with torch.no_grad():
        model.output.bias[torch.from_numpy(is_new)] += low
    return low


def predicted(content: csr_array, vectors: NDArray[np.floating], counts: NDArray[np.integer], *, l2: float) -> Array:
    """Vectors of the items without users, shape (n_new, d), in order of their rows.

    Args:
        content: shape (n_items, n_features).
        vectors: shape (n_items, d); those of new items are not looked at.
        counts: users of each item, shape (n_items,).
        l2: of the ridge regression.
    """
    found: Array = _with_constant(content[counts == 0]) @ regression(content, vectors, counts, l2=l2)
    return found


def regression(content: csr_array, vectors: NDArray[np.floating], counts: NDArray[np.integer], *, l2: float) -> Array:
    """B of the regression, shape (1 + n_features, d), the constant's row first; arguments as of `predicted`."""
    familiar = counts > 0
    weights = counts[familiar] / (counts[familiar] + HALF_TRUSTED)
    known, wanted = _with_constant(content[familiar]), np.asarray(vectors[familiar], dtype=np.float64)
    penalty = np.full(known.shape[1], l2)
    penalty[0] = 1e-9
    normal = known.T @ (weights[:, None] * known) + np.diag(penalty)
    solved: Array = solve(normal, known.T @ (weights[:, None] * wanted), assume_a="pos")
    return solved


def _tables(model: Autoencoder) -> list[Tensor]:
    """The weights that have a row an item, the bias of the output layer among them."""
    first = [layer.weight for layer in model.modules() if isinstance(layer, SparseLinear)]
    rows = [weight.data for weight in first if len(weight) == model.n_items]
    return [*rows, model.output.weight.data, model.output.bias.data.unsqueeze(1)]


def _with_constant(content: csr_array) -> Array:
    return np.hstack([np.ones((content.shape[0], 1)), content.toarray().astype(np.float64)])
