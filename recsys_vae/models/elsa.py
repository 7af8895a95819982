"""ELSA: a linear autoencoder whose item-item matrix is a product of thin factors, for catalogues of any width.

    y = x (A A^T - I),  rows of A of length 1            so that the diagonal is 0: no item explains itself
    minimise  || x / ||x|| - y / ||y|| ||^2 = 2 - 2 <x, y> / (||x|| ||y||)

The loss looks at every item, yet no (users, items) array is made. With s = x A and the Gram matrix G = A^T A (d, d)

    <x, y> = ||s||^2 - ||x||^2,   ||y||^2 = s G s^T - 2 ||s||^2 + ||x||^2

Where the history that is predicted, t, has other weights than the one that is shown, x, <t, y> = <s, t A> - <t, x>.

For ranking, s A^T is the model exactly: the term -x changes the scores of the user's own items only, and those are
masked.

Source: Vancura, Alves, Kasalicky & Kordik, Scalable Linear Shallow Autoencoder for Collaborative Filtering, RecSys
2022.
"""

import math

import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional

from recsys_vae.data.histories import check_histories
from recsys_vae.models.configs.elsa import ELSAConfig
from recsys_vae.models.trainable import Trainable
from recsys_vae.nn.objective import Loss, Objective
from recsys_vae.nn.sparse_layers import SparseRows
from recsys_vae.nn.unit_rows import gram, unit_rows
from recsys_vae.protocols import Float32Array

SMALLEST = 1e-12
"""Squared length below which a vector counts as zero."""


class ELSA(Trainable):
    """The model of Vancura et al. 2022; its loss is no likelihood, and there is no KL to weigh."""

    WANTS_DISLIKES = True

    def __init__(self, n_items: int, config: ELSAConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.empty(n_items, config.factors))
        nn.init.normal_(self.weight, std=1 / math.sqrt(config.factors))

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return len(self.weight)

    def factors(self) -> Tensor:
        """A, shape (n_items, factors)."""
        return unit_rows(self.weight)

    def loss(self, rows: SparseRows, objective: Objective) -> Loss:
        """Squared distance of normalised history and prediction, 0 to 4 a user, in the place of the likelihood."""
        with torch.autocast(self.device.type, enabled=False):  # the length of y is a difference of larger numbers
            factors = self.factors()
            summed = _row_sums(rows, factors)
            captured = summed.square().sum(dim=1)
            size = rows.row_sums(rows.values.square())
            predicted = ((summed @ gram(factors)) * summed).sum(dim=1) - 2 * captured + size
            product, wanted = captured - size, size
            if rows.targets is not None:
                product, wanted = _against_targets(rows, rows.targets, summed, factors)
            lengths = (wanted * predicted).clamp(min=SMALLEST).sqrt()
            error = (2 - 2 * product / lengths).mean()
        return Loss(error, error.detach(), torch.zeros_like(error))

    @torch.inference_mode()
    def encode(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        """Sums x A of the factors of each history, shape (n, factors)."""
        check_histories(histories, self.n_items, signed=self.is_signed)
        rows = self.rows(histories)
        return _as_array(_row_sums(rows, self.factors()))

    @torch.inference_mode()
    def item_vectors(self) -> Float32Array:
        """A, shape (n_items, factors)."""
        return _as_array(self.factors())

    @torch.inference_mode()
    def score(self, histories: csr_array) -> Float32Array:
        """x A A^T, shape (n, n_items)."""
        check_histories(histories, self.n_items, signed=self.is_signed)
        rows, factors = self.rows(histories), self.factors()
        return _as_array(_row_sums(rows, factors) @ factors.T)


def _against_targets(rows: SparseRows, targets: SparseRows, summed: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """<t, y> and ||t||^2 of targets t that have the pattern of the rows, shapes (n,)."""
    captured = (summed * _row_sums(targets, factors)).sum(dim=1)
    overlap = rows.row_sums(rows.values * targets.values)
    return captured - overlap, targets.row_sums(targets.values.square())


def _row_sums(rows: SparseRows, factors: Tensor) -> Tensor:
    """x A, shape (n, d)."""
    return functional.embedding_bag(
        rows.indices, factors, rows.offsets, mode="sum", per_sample_weights=rows.values, include_last_offset=True
    )


def _as_array(tensor: Tensor) -> Float32Array:
    array: Float32Array = tensor.float().cpu().numpy()
    return array
