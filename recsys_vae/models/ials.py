"""iALS: matrix factorisation for implicit feedback, by alternating least squares over all users and items.

    minimise  sum_(u,i) c_ui (p_ui - <x_u, y_i>)^2 + l (sum_u n_u^v |x_u|^2 + sum_i n_i^v |y_i|^2)
    l = l2 (sum_u n_u + sum_i n_i) / (sum_u n_u^v + sum_i n_i^v)     so that l2 means as much whatever v is

    c_ui = unobserved + w_ui    p_ui = 1    where u likes i with weight w_ui
    c_ui = unobserved + g w_ui  p_ui = 0    where u dislikes i with weight w_ui;  g: `dislikes`
    c_ui = unobserved           p_ui = 0    elsewhere;   n_u, n_i: sums of c over a row or column

With v = 0 that is Hu, Koren & Volinsky's objective divided by their alpha, `unobserved` being 1 / alpha. v = 1
penalises each vector by what is known of it, without which long histories are underfitted (Rendle et al.).

A half-step solves all users (or items). With G = Y^T Y = Q L Q^T and Y Q in the place of Y, what all items add to a
user's system is diagonal, D_u = unobserved L + l2 n_u^v, so a history of n items costs a system of min(n, factors)
unknowns (`native.ridge`). Scores do not change when both sides are rotated, so nothing is rotated back.

By default it does not solve exactly: `block` dimensions at a time, given the others as they stand (iALS++), which
lowers the objective for less time and has the same optima. The first iteration, which has no users to go on from, and
the last one are exact, so item vectors are always the optimum for the users'. A user who comes later is encoded by an
exact half-step: the optimum for these item vectors.

Sources: Hu, Koren & Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM 2008, eq. 3 and 4; Rendle,
Krichene, Zhang & Koren, Revisiting the Performance of iALS on Item Recommendation Benchmarks, RecSys 2022, eq. 2
and 4, and the scale of l2 in sec. 3; the same four, iALS++: Speeding up Matrix Factorization with Subspace
Optimization, 2021.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.arrays import floats_of
from recsys_vae.data.change import Change
from recsys_vae.data.histories import check_histories
from recsys_vae.data.signals import shown_to
from recsys_vae.errors import DataError
from recsys_vae.models.configs.ials import (
    LARGEST,
    LARGEST_EIGENVALUE,
    LARGEST_VECTOR,
    LEAST,
    LEAST_SETTING,
    IALSConfig,
)
from recsys_vae.models.cost import Cost, Sizes
from recsys_vae.models.updatable import REFIT, WARM, Updated
from recsys_vae.native.ridge import Regressions
from recsys_vae.protocols import Float32Array, Tensors

SPREAD = 0.1
"""Length of the item vectors that the first half-step begins with, as published."""
WARM_ITERATIONS = 4
"""Of an update; item vectors of the parent are near those of its change."""
PENALTIES = np.float32(1e-9), np.float32(1e12)
"""Range of l."""
STRIPE = 1 << 16
"""Rows whose products are summed in float32."""


class IALS:
    """The model of Hu et al. 2008 with the regularisation of Rendle et al. 2022; factorised, in closed form by halves.

    Attributes:
        config: its configuration.
    """

    def __init__(self, n_items: int, config: IALSConfig) -> None:
        self.config = config
        self._n_items = n_items
        self._items: Float32Array = np.zeros((0, 0), dtype=np.float32)
        self._spectrum: Float32Array = np.zeros(0, dtype=np.float32)
        self._penalty: Float32Array = np.ones(1, dtype=np.float32)

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return self._n_items

    @property
    def is_signed(self) -> bool:
        """Whether it is shown what users dislike."""
        return self.config.dislikes > 0

    @staticmethod
    def cost(config: IALSConfig, sizes: Sizes) -> Cost:
        """Vectors of users and items; of every half-step a product an entry and a factor of each user and item."""
        rows, width = sizes.n_users + sizes.n_items, config.factors
        at_once = min(config.block or width, width)
        half_steps = (2 * sizes.n_interactions + rows * at_once / 3) * width * at_once
        return Cost(
            12 * rows * width + 16 * sizes.n_interactions, config.iterations * half_steps, 4 * sizes.n_items * width
        )

    def fit(self, interactions: csr_array) -> None:
        """Alternate between users and items of a matrix, shape (n_users, n_items), signed where it takes dislikes."""
        draw = np.random.default_rng(self.config.start)
        start = draw.standard_normal((self.n_items, self.config.factors), dtype=np.float32)
        self._fit(interactions, start * np.float32(SPREAD / np.sqrt(self.config.factors)), self.config.iterations)

    def _fit(self, interactions: csr_array, items: Float32Array, iterations: int) -> None:
        _, items = self.alternated(interactions, items, iterations)
        axes, self._spectrum = principal_axes(items)
        self._items = items @ axes

    def go_on(self, interactions: csr_array, iterations: int) -> None:
        """Iterate further from the item vectors that there are."""
        self._check_fitted()
        self._fit(interactions, self._items, iterations)

    def alternated(
        self, interactions: csr_array, items: Float32Array, iterations: int
    ) -> tuple[Float32Array, Float32Array]:
        """User and item vectors after so many half-steps over either from these item vectors, which the model keeps."""
        check_histories(interactions, self.n_items, signed=self.is_signed)
        by_user = self._regressions(interactions)
        by_item = self._regressions(csr_array(interactions.T.tocsr()))
        self._penalty = self._penalty_of(by_user, by_item)
        by_user, by_item = self._penalised(by_user), self._penalised(by_item)
        users = np.zeros((len(by_user), self.config.factors), dtype=np.float32)
        for place in range(iterations):
            block = self.config.block if 0 < place < iterations - 1 else 0
            users, items = self._half_step(by_user, items, users, block)
            items, users = self._half_step(by_item, users, items, block)
        return users, items

    def _half_step(
        self, regressions: Regressions, others: Float32Array, start: Float32Array, block: int
    ) -> tuple[Float32Array, Float32Array]:
        """One side, from what it was, given the other, which comes back turned: both have the same axes then."""
        axes, spectrum = principal_axes(others)
        vectors = others @ axes
        return regressions.solve(vectors, self._base(spectrum), start @ axes if block else None, block), vectors

    def _penalty_of(self, by_user: Regressions, by_item: Regressions) -> Float32Array:
        """l, shape (1,), from regressions whose penalties are n^v: both sides' n add up to the same."""
        total = 2 * (by_user.weights.sum(dtype=np.float64) + self.config.unobserved * len(by_user) * len(by_item))
        powers = sum(side.penalties.sum(dtype=np.float64) for side in (by_user, by_item))
        return np.array([self.config.l2 * total / max(powers, LEAST_SETTING)], np.float32).clip(*PENALTIES)

    def _penalised(self, regressions: Regressions) -> Regressions:
        return replace(regressions, penalties=regressions.penalties * self._penalty)

    def _base(self, spectrum: Float32Array) -> Float32Array:
        """What all rows of the other side add to each dimension."""
        return spectrum * np.float32(self.config.unobserved)

    def _regressions(self, matrix: csr_array) -> Regressions:
        """One regression a row: of its entries, beside all columns as unobserved; penalties are n^v alone."""
        config = self.config
        is_liked = matrix.data > 0
        weights = weighed(np.abs(matrix.data), config.weights)
        if not is_liked.all():
            weights[~is_liked] *= np.float32(config.dislikes)
        np.clip(weights, LEAST, LARGEST, out=weights)
        targets = weights + np.float32(config.unobserved)
        if not is_liked.all():
            targets[~is_liked] = 0
        known = row_sums(weights, matrix.indptr) + config.unobserved * matrix.shape[1]
        return Regressions(
            matrix.indptr.astype(np.int64),
            matrix.indices.astype(np.int32, copy=False),
            weights,
            targets,
            (known**config.l2_exponent).astype(np.float32),
        )

    def encode(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        """The exact solution for each history, shape (n, factors)."""
        check_histories(histories, self.n_items, signed=self.is_signed)
        self._check_fitted()
        return self._penalised(self._regressions(histories)).solve(self._items, self._base(self._spectrum))

    def item_vectors(self) -> Float32Array:
        """Item vectors along the axes of their Gram matrix, shape (n_items, factors)."""
        self._check_fitted()
        return self._items.copy()

    def score(self, histories: csr_array) -> Float32Array:
        """Preferences, shape (n, n_items)."""
        return np.asarray(self.encode(histories) @ self._items.T)

    def plan(self, change: Change) -> Mapping[str, float | str]:
        """An update alternates a few times from the item vectors; where users are gone, as often as a fit does."""
        return {"how": REFIT if change.counts.gone_users else WARM, "items": len(change.items)}

    def updated(self, change: Change) -> Updated:
        """A model of `change.after`; where users are gone it begins anew, as item vectors would remember them."""
        made = type(self)(change.after.n_items, self.config)
        if change.counts.gone_users:
            made.fit(shown_to(made, change.to_learn))
            return Updated(made, REFIT)
        self._check_fitted()
        made._items = self._items[change.item_rows]
        made._items[change.item_rows < 0] = 0
        made.go_on(shown_to(made, change.to_learn), WARM_ITERATIONS)
        return Updated(made, WARM, {"iterations": WARM_ITERATIONS})

    def tensors(self) -> Tensors:
        """Item vectors, the diagonal that their Gram matrix is, and l."""
        return {"items": self._items, "spectrum": self._spectrum, "penalty": self._penalty}

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over what was learned.

        Raises:
            DataError: it is of another catalogue or size, not finite, or beyond what a fit gives.
        """
        items = floats_of(tensors, "items", (self.n_items, self.config.factors))
        spectrum = floats_of(tensors, "spectrum", (self.config.factors,))
        penalty = floats_of(tensors, "penalty", (1,))
        if not PENALTIES[0] <= penalty[0] <= PENALTIES[1]:
            raise DataError(f"The tensor 'penalty' holds {penalty[0]}, expected {PENALTIES[0]:g} to {PENALTIES[1]:g}.")
        if spectrum.min(initial=0) < 0 or spectrum.max(initial=0) > LARGEST_EIGENVALUE:
            raise DataError(f"spectrum holds {spectrum.min()} to {spectrum.max()}: no eigenvalues that a fit leaves.")
        if np.abs(items).max(initial=0) > LARGEST_VECTOR:
            raise DataError(f"The tensor 'items' goes beyond {LARGEST_VECTOR:g}: scores would overflow.")
        self._items, self._spectrum, self._penalty = items, spectrum, penalty

    def _check_fitted(self) -> None:
        if len(self._items) != self.n_items:
            raise DataError("This model has not been fitted: call fit first.")


def weighed(weights: Float32Array, how: str) -> Float32Array:
    """What weights count: `binary` 1, `log` log(1 + weight), `value` the weight; a new array."""
    if how == "binary":
        return np.ones_like(weights)
    return np.log1p(weights) if how == "log" else weights.copy()


def row_sums(entries: Float32Array, starts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Sums of consecutive entries, in float64, shape (len(starts) - 1,)."""
    sums = np.concatenate([[0.0], np.cumsum(entries, dtype=np.float64)])
    return np.diff(sums[starts])


def principal_axes(vectors: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Axes of the vectors' Gram matrix, columns of shape (d, d), largest first, and its eigenvalues, shape (d,)."""
    gram = np.zeros((vectors.shape[1], vectors.shape[1]))
    for start in range(0, len(vectors), STRIPE):
        part = vectors[start : start + STRIPE]
        gram += part.T @ part
    values, axes = np.linalg.eigh(gram)
    return np.ascontiguousarray(axes[:, ::-1], dtype=np.float32), values[::-1].clip(min=0).astype(np.float32)
