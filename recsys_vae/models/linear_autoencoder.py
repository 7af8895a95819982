"""LinearAutoencoder: what the models with one dense item-item matrix have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, vstack

from recsys_vae.arrays import check_finite, floats_of
from recsys_vae.data.change import Change
from recsys_vae.data.histories import check_histories
from recsys_vae.data.signals import shown_to
from recsys_vae.errors import DataError
from recsys_vae.models import linear_update
from recsys_vae.models.cost import Cost, Sizes
from recsys_vae.models.linear_update import LinearSystem, UnstableUpdateError
from recsys_vae.models.triangle import Triangle
from recsys_vae.models.updatable import EXACT, REFIT, Updated
from recsys_vae.models.weighting import WeightOptions, options_of
from recsys_vae.protocols import Float32Array, Tensors

TOLERANCE = 3e-6
"""Largest error of B, as a share of its largest entry, that an update may show; else it is a fit."""
STRIPE = 128
"""Rows of P that are multiplied at once, where targets are no inputs."""
DIAGONAL = "inverse_diagonal"
"""Name of the tensor that the diagonal of P is kept as; bundles from before updates have none."""


class LinearAutoencoder(ABC):
    """scores = X B, where no item explains itself: diag(B) = 0.

    B minimises ||X - XB||^2 + sum_i penalty_i ||B_i||^2 under that constraint. In closed form,

        P = (X^T X + diag(penalty))^-1,   B_ij = -P_ij / P_jj for i != j.

    Subclasses say what is penalised. B is dense, shape (n_items, n_items), and its memory is all that a fit takes, see
    `Triangle.needed_bytes`: half of P in float64 lies where B comes to lie (`triangle`).
    X holds what `weighting` makes of the interactions, by default ones, and dislikes as numbers below 0. Where targets
    Y are weighed otherwise than inputs X,

        B = P X^T Y - P diag(g),   g_j = (P X^T Y)_jj / P_jj.

    What came in and went changes P by a rank-k update (`linear_update`): k counts the rows of X that came or went, and
    the items whose penalty is another one. Where that is more work than a fit, targets are weighed otherwise, or it is
    not known what was disliked before, it is one.
    """

    config: Any

    def __init__(self, n_items: int, config: Any) -> None:
        self.config = config
        self._n_items = n_items
        self._weights: Float32Array = np.zeros((0, 0), dtype=np.float32)
        self._diagonal: NDArray[np.float64] | None = None

    @abstractmethod
    def penalty(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Penalty of each item's row of B, shape (n_items,), above 0.

        Args:
            counts: the users of each item; where inputs are weighed, the sums of their squares.
        """

    @property
    def is_signed(self) -> bool:
        """Whether histories may hold dislikes, as weights below 0."""
        return self._options.counted > 0

    @property
    def _options(self) -> WeightOptions:
        return options_of(self.config)

    @property
    def _is_square(self) -> bool:
        """Whether targets are inputs, so that X^T X is all that B depends on."""
        return self._options.shown == self._options.wanted

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return self._n_items

    @staticmethod
    def cost(config: Any, sizes: Sizes) -> Cost:
        """The Gram matrix, which B replaces: a sparse product, and n^3 multiplications and additions in float64.

        Kept are B in float32 and the diagonal.
        """
        n = sizes.n_items
        return Cost(Triangle.needed_bytes(n), 2 * sizes.work + n**3, 4 * n**2 + 8 * n)

    def fit(self, interactions: csr_array) -> None:
        """Solve for B on the weighed interactions, most often binarised, shape (n_users, n_items)."""
        inputs = self._inputs(interactions)
        precision = Triangle.gram(inputs)
        precision.add_to_diagonal(self.penalty(precision.diagonal()))
        precision.invert()
        diagonal = precision.diagonal()
        if not self._is_square:
            targets = self._options.targets(interactions, dislikes=True).astype(np.float64)
            self._weights = _towards(targets, inputs, precision.spread(np.ones_like(diagonal)))
            self._diagonal = None
            return
        weights = precision.spread(-1 / diagonal)
        np.fill_diagonal(weights, 0.0)
        self._weights, self._diagonal = weights, diagonal

    def plan(self, change: Change) -> Mapping[str, float | str]:
        """Rank of the update, and whether it is less work than a fit."""
        if why := self._why_fitted(change):
            return {"how": REFIT, "items": len(change.items), "why": why}
        added, removed = self._rows_of(change)
        rank = added.shape[0] + removed.shape[0]
        how = EXACT if linear_update.is_worth_it(len(change.items), rank) else REFIT
        return {"how": how, "rank": rank, "items": len(change.items)}

    def updated(self, change: Change) -> Updated:
        """A model whose B is that of a fit to `change.after`, as far as float32 holds it."""
        made = type(self)(change.after.n_items, self.config)
        if why := self._why_fitted(change):
            made.fit(shown_to(made, change.to_learn))
            return Updated(made, REFIT, {"why": why})
        added, removed = self._rows_of(change)
        rank = added.shape[0] + removed.shape[0]
        if linear_update.is_worth_it(len(change.items), rank):
            try:
                found = linear_update.updated(self._system(change), added, removed)
            except UnstableUpdateError:
                found = None
            if found is not None and (error := made._take(found, change)) <= TOLERANCE:
                return Updated(made, EXACT, {"rank": rank, "largest_error": error})
        made.fit(shown_to(made, change.to_learn))
        return Updated(made, REFIT, {"rank": rank})

    def _why_fitted(self, change: Change) -> str:
        """Why a change cannot be learned alone; empty where it can."""
        if not self._is_square:
            return "targets are weighed otherwise than inputs"
        if self.is_signed and change.has_unknown_dislikes:
            return "what was disliked before is not known"
        return ""

    def _take(self, system: LinearSystem, change: Change) -> float:
        """Take over what an update found, over the items that stay; returns its largest error."""
        kept = linear_update.restricted(system, change.items.rows(change.after.items.values))
        self._weights, self._diagonal = kept.weights, kept.diagonal
        inputs = self._inputs(shown_to(self, change.to_learn))
        return linear_update.largest_error(kept, inputs, self.penalty(_squares(inputs)))

    def _rows_of(self, change: Change) -> tuple[csr_array, csr_array]:
        """Rows that were added to X and removed from it, over the items of either side.

        A penalty that grew by g is a row with the square root of g at its item.
        """
        if self._options.is_plain:
            counts = np.zeros((2, len(change.items)))
            for side, total in zip((change.before, change.after), counts, strict=True):
                total[change.items.rows(side.items.values)] = side.item_counts()
            before, after = map(self.penalty, counts)
            added = _stacked(change.changed_rows(change.after), after - before)
            return added, _stacked(change.changed_rows(change.before), before - after)
        gone, came = change.rows_that_differ(lambda histories: self._options.inputs(shown_to(self, histories)))
        growth = self.penalty(_squares(came)) - self.penalty(_squares(gone))
        return _stacked(came.astype(np.float32), growth), _stacked(gone.astype(np.float32), -growth)

    def _system(self, change: Change) -> LinearSystem:
        """B and the diagonal of P, over the items of either side."""
        system = LinearSystem(self._weights, self._inverse_diagonal(shown_to(self, change.learned)))
        n_items = len(change.items)
        places = change.items.rows(change.before.items.values)
        return linear_update.extended(system, places, n_items, self.penalty(np.zeros(n_items)))

    def _inverse_diagonal(self, interactions: csr_array) -> NDArray[np.float64]:
        """Diagonal of P; where it was not kept, of A B = A - diag(1 / P_jj), which is why A is needed."""
        if self._diagonal is not None:
            return self._diagonal
        inputs = self._inputs(interactions)
        gram = csr_array(inputs.T @ inputs)
        counts = gram.diagonal().astype(np.float64)
        rows = np.repeat(np.arange(self.n_items), np.diff(gram.indptr))
        explained = gram.data.astype(np.float64) * self._weights[gram.indices, rows]
        diagonal: NDArray[np.float64] = 1 / (
            counts + self.penalty(counts) - np.bincount(rows, explained, minlength=self.n_items)
        )
        return diagonal

    def score(self, histories: csr_array) -> Float32Array:
        """X B for the weighed histories, shape (n, n_items)."""
        check_histories(histories, self.n_items, signed=self.is_signed)
        if not self._weights.size:
            raise DataError("This model has not been fitted: call fit first.")
        return np.asarray(self._options.inputs(histories) @ self._weights, dtype=np.float32)

    def _inputs(self, interactions: csr_array) -> csr_array:
        """X: float32 where it is binary, so that products are of whole numbers, else float64."""
        check_histories(interactions, self.n_items, signed=self.is_signed)
        inputs = self._options.inputs(interactions)
        return inputs if self._options.is_plain else inputs.astype(np.float64)

    def tensors(self) -> Tensors:
        """The matrix B, and the diagonal of P, from which updates go on."""
        diagonal = {} if self._diagonal is None else {DIAGONAL: self._diagonal}
        return {"weights": self._weights, **diagonal}

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over B.

        Raises:
            DataError: it is of another catalogue, or not finite.
        """
        weights = floats_of(tensors, "weights", (self.n_items, self.n_items))
        self._diagonal = self._read_diagonal(tensors)
        self._weights = weights

    def _read_diagonal(self, tensors: Tensors) -> NDArray[np.float64] | None:
        if DIAGONAL not in tensors:
            return None
        found = tensors[DIAGONAL]
        if found.shape != (self.n_items,) or found.dtype != np.float64:
            raise DataError(
                f"{DIAGONAL} holds {found.dtype} of shape {found.shape}, expected float64 ({self.n_items},)."
            )
        check_finite(DIAGONAL, found)
        return found.astype(np.float64)


def _squares(inputs: csr_array) -> NDArray[np.float64]:
    """Sums of squares of the columns, shape (n_items,): diagonal of X^T X."""
    squares = np.square(inputs.data, dtype=np.float64)
    return np.bincount(inputs.indices, squares, minlength=inputs.shape[1]).astype(np.float64)


def _towards(targets: csr_array, inputs: csr_array, precision: Float32Array) -> Float32Array:
    """B of targets Y and inputs X in the place of P: the last formula of `LinearAutoencoder`.

    Row by row of P, and twice: g takes the diagonal of all of P X^T Y.
    """
    transposed = csr_array(inputs.T).astype(np.float64)
    starts = range(0, len(precision), STRIPE)

    def product(start: int) -> NDArray[np.float64]:
        return np.asarray((precision[start : start + STRIPE].astype(np.float64) @ transposed) @ targets)

    diagonal = np.concatenate([np.zeros(0), *(product(start).diagonal(start) for start in starts)])
    scale = diagonal / precision.diagonal()
    for start in starts:
        rows = precision[start : start + STRIPE]
        rows[...] = product(start) - rows * scale
    np.fill_diagonal(precision, 0.0)
    return precision


def _stacked(rows: csr_array, growth: NDArray[np.float64]) -> csr_array:
    """Rows that hold something, and one for each item whose penalty grew."""
    filled = rows[np.flatnonzero(np.diff(rows.indptr))]
    grown = diags_array(np.sqrt(growth.clip(min=0)), format="csr")[np.flatnonzero(growth > 0)]
    return csr_array(vstack([filled, grown], format="csr"), dtype=np.float32)
