"""Latent codes laid out in the plane: two coordinates as they are, PCA, or t-SNE (scikit-learn's)."""

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from recsys_vae.errors import ConfigError, DataError, UnknownNameError

METHODS = ("direct", "pca", "tsne")
PERPLEXITY = 30.0
"""Neighbours that t-SNE keeps together, its authors' middle value; smaller where there are few codes."""
PCA_FIRST = 50
"""Dimensions that t-SNE sees at most; its authors have 30 (van der Maaten & Hinton 2008, section 4.2)."""


def plane(codes: NDArray[np.float32], method: str, *, seed: int = 0) -> NDArray[np.float32]:
    """Two coordinates of each code, shape (n, 2).

    `direct` shows a two-dimensional latent space as it is. `pca` is linear: distances and directions mean something.
    `tsne` keeps neighbours together and nothing else: sizes of clusters and gaps between them mean nothing.

    Args:
        codes: shape (n, ...), flattened to (n, d).
        method: one of `METHODS`.
        seed: of t-SNE.

    Raises:
        UnknownNameError: no such method.
        ConfigError: `direct` and the codes do not have two dimensions.
        DataError: fewer than three codes, or codes of one dimension.
    """
    if method not in METHODS:
        raise UnknownNameError("way to lay out a map", method, METHODS)
    flat = codes.reshape(len(codes), -1)
    if method == "direct":
        if flat.shape[1] != 2:
            raise ConfigError(
                f"A direct map shows codes of two dimensions, these have {flat.shape[1]}: use pca or tsne."
            )
        return flat
    if len(flat) < 3 or flat.shape[1] < 2:
        raise DataError(f"A {method} map takes at least three codes of two dimensions, got shape {flat.shape}.")
    laid_out: NDArray[np.float32] = _pca(flat, 2) if method == "pca" else _tsne(flat, seed)
    return laid_out.astype(np.float32)


def _pca(flat: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    found: NDArray[np.float32] = PCA(min(dimensions, *flat.shape), random_state=0).fit_transform(flat)
    return found


def _tsne(flat: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    perplexity = min(PERPLEXITY, (len(flat) - 1) / 3)
    model = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    found: NDArray[np.float32] = model.fit_transform(_pca(flat, PCA_FIRST))
    return found
