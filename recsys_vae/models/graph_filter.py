"""GraphFilter: a linear recommender that filters histories over the graph of items with common users.

    R~ = D_U^-a R D_I^-b,  P = R~^T R~ / lambda_1 = sum_i lambda_i v_i v_i^T       D: degrees; V, Lambda: leading `rank`

    solver leading     score(x) = x D_I^-q [P + V Lambda (e^(-T Lambda) - I) V^T] D_I^q  +  alpha x D_I^-b V V^T D_I^b
    solver rk4         score(x) = x D_I^-q P p(P) D_I^q  +  alpha x D_I^-b V V^T D_I^b p(P),   p(P): dh/dt = -hP up to T

R holds what `weighting` makes of the interactions as targets, by default ones, and x of a history as inputs.

With a = b = 1/2, q = T = 0 this is GF-CF: a linear filter and alpha times an ideal low-pass; these are the defaults.
The exponents say how strongly long histories (a) and popular items (b) are damped, and how far the results lean to
popular items again (q). T is the time of a sharpening, in which what everybody likes fades. `rk4` takes one step of the
method of fourth order for all of it, as BSPM was published for Gowalla (T = 2.5, alpha = .2, rank 448); `leading`
solves the equation exactly, for the leading components alone, at a fraction of the work.

Whatever the filter, what is kept is a sparse matrix of items by items beside a product of thin ones, and a score is a
sum over the items of a history. R~ would be smaller than either, but its rows are users, and a model carries none. The
sparse part of `leading` is P as it is, an entry for each pair of items that share a user. P p(P) has no zeros: once its
leading components are taken out, the largest `neighbours` entries of each row are kept.

Sources: Shen et al., How Powerful is Graph Convolution for Recommendation?, CIKM 2021, eq. 12 and algorithm 1 (GF-CF);
Choi et al., Blurring-Sharpening Process Models for Collaborative Filtering, SIGIR 2023 (BSPM, early merge).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recsys_vae.arrays import floats_of, sparse_of
from recsys_vae.data.change import Change
from recsys_vae.data.histories import check_histories
from recsys_vae.errors import DataError
from recsys_vae.models.configs.graph_filter import GraphFilterConfig
from recsys_vae.models.cost import Cost, Sizes
from recsys_vae.models.updatable import REFIT, WARM, Updated
from recsys_vae.protocols import Float32Array, Tensors

if TYPE_CHECKING:
    from recsys_vae.models.spectrum import Gram
    from recsys_vae.native.graph import Scales

CHUNK = 64
"""Users whose scores are summed at once: their sparse sums, several times the size of the result, stay small."""

STRIPE = 64
"""Leading vectors that are sharpened at once."""


class GraphFilter:
    """The filters of Shen et al. 2021 and Choi et al. 2023: score(x) = x (local + left right)."""

    def __init__(self, n_items: int, config: GraphFilterConfig) -> None:
        self.config = config
        self._n_items = n_items
        self._local = csr_array((0, 0), dtype=np.float32)
        self._left: Float32Array = np.zeros((0, 0), dtype=np.float32)
        self._right: Float32Array = np.zeros((0, 0), dtype=np.float32)

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return self._n_items

    @staticmethod
    def cost(config: GraphFilterConfig, sizes: Sizes) -> Cost:
        """The pairs that come together, 12 bytes each as kept and as many while they are scaled, beside the blocks that
        the leading vectors are searched in, five times the rank, and half as much again; with `rk4` the kept pairs, 8
        bytes each, and a quarter more while they are sought, both factors, some rows at once, and for each item four
        products with P and half of one with the leading components.
        """
        n, rank = sizes.n_items, config.rank
        factors, space = 8 * n * rank, 4 * 5 * n * rank
        operations = 2 * sizes.work + 80 * sizes.n_interactions * rank
        if config.solver != "rk4":
            return Cost(max(24 * sizes.together + factors, 2 * space), operations, 12 * sizes.together + factors)
        pairs = 8 * n * min(n, config.neighbours)
        kept, sought = pairs + 2 * factors, 5 * pairs // 4 + factors + 4 * 128 * n
        operations += 16 * n * sizes.n_interactions + n**2 * rank
        return Cost(max(kept, sought, 2 * space), operations, kept)

    def fit(self, interactions: csr_array) -> None:
        """Count, normalise, decompose and filter the weighed interactions, shape (n_users, n_items)."""
        self._fit(interactions, None)

    def plan(self, change: Change) -> Mapping[str, float | str]:
        """An update counts all over again; the search for the leading vectors alone begins where they were."""
        return {"how": WARM if self._vectors(change) is not None else REFIT, "items": len(change.items)}

    def updated(self, change: Change) -> Updated:
        """The filters of `change.after`, the leading vectors found from those of `change.before`."""
        start = self._vectors(change)
        made = type(self)(change.after.n_items, self.config)
        made._fit(change.after.matrix, start)
        return Updated(made, REFIT if start is None else WARM)

    def _vectors(self, change: Change) -> Float32Array | None:
        """Leading vectors of the parent over the items after the change, shape (n_items, r); None where none were kept.

        An item that is new has no entry in them: the first product with the graph gives it one.
        """
        has_low_pass_first = self.config.solver == "leading" and self.config.low_pass
        exponent = self.config.item_exponent if has_low_pass_first else self.config.popularity_exponent
        kept = self._right[: self.config.rank]
        if len(kept) < self.config.rank:
            return None
        degrees = _degrees(self.config.targets(change.before.matrix, dislikes=False))
        vectors = (kept / degrees**exponent).T.astype(np.float32)
        found = vectors[change.item_rows]
        found[change.item_rows < 0] = 0
        return found

    def _fit(self, interactions: csr_array, start: Float32Array | None) -> None:
        check_histories(interactions, self.n_items)
        graph = self.config.targets(interactions, dislikes=False)
        degrees = _degrees(graph)
        lean, norm = (
            (degrees**q).astype(np.float32) for q in (self.config.popularity_exponent, self.config.item_exponent)
        )
        build = self._sharpen_all if self.config.solver == "rk4" else self._sharpen_leading
        normalised, scales = self._normalised(graph, degrees)
        build(normalised, scales, lean, norm, start)

    def _spectrum(
        self, normalised: csr_array, scales: "Scales | None", start: Float32Array | None
    ) -> tuple[NDArray[np.float64], Float32Array]:
        """Leading eigenvalues and vectors of P; R~ is divided by the root of the first, so that they are at most 1."""
        from recsys_vae.models.spectrum import leading_spectrum

        values, vectors = leading_spectrum(normalised, self.config.rank, start)
        largest = values.max(initial=0.0) or 1.0
        normalised *= np.float32(largest**-0.5)
        if scales:
            scales[0][:] *= largest**-0.5
        return values / largest, vectors

    def score(self, histories: csr_array) -> Float32Array:
        """Filtered histories, weighed as inputs, shape (n, n_items)."""
        check_histories(histories, self.n_items)
        if not self._left.size and not self._local.shape[0]:
            raise DataError("This graph filter has not been fitted: call fit first.")
        inputs, scores = self.config.inputs(histories), np.empty(histories.shape, dtype=np.float32)
        wide = self._local.indices.dtype  # of two widths in a product, scipy copies the narrow one: here, all pairs
        parts = (inputs.data, inputs.indices.astype(wide, copy=False), inputs.indptr.astype(wide, copy=False))
        inputs = csr_array(parts, shape=inputs.shape)
        for start in range(0, len(scores), CHUNK):
            rows, out = inputs[start : start + CHUNK], scores[start : start + CHUNK]
            (rows @ self._local).toarray(out=out)
            out += (rows @ self._left) @ self._right
        return scores

    def tensors(self) -> Tensors:
        """The sparse matrix as CSR, and the two thin ones."""
        local = {"data": self._local.data, "indices": self._local.indices, "indptr": self._local.indptr}
        return {f"local.{name}": array for name, array in local.items()} | {"left": self._left, "right": self._right}

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over what was learned.

        Raises:
            DataError: something is missing, of another catalogue, out of range or not finite.
        """
        left = floats_of(tensors, "left", (self.n_items, None))
        right = floats_of(tensors, "right", left.shape[::-1])
        self._local = sparse_of(tensors, "local", (self.n_items, self.n_items))
        self._left, self._right = left, right

    def _normalised(self, graph: csr_array, degrees: NDArray[np.float64]) -> tuple[csr_array, "Scales | None"]:
        """R~, and if R holds one number alone, the factors of its rows and columns."""
        lengths = np.diff(graph.indptr)  # which weights add up to
        left, right = lengths.clip(1) ** -self.config.user_exponent, degrees**-self.config.item_exponent
        entries = np.repeat(left, lengths)
        entries *= right[graph.indices]
        entries *= graph.data
        normalised = csr_array((entries.astype(np.float32), graph.indices, graph.indptr), shape=graph.shape)
        weight = graph.data[0] if len(graph.data) else 1.0
        return normalised, (left * weight, right) if (graph.data == weight).all() else None

    def _sharpen_leading(
        self,
        normalised: csr_array,
        scales: "Scales | None",
        lean: Float32Array,
        norm: Float32Array,
        start: Float32Array | None,
    ) -> None:
        values, vectors = self._spectrum(normalised, scales, start)
        gram = csr_array(normalised.T) @ normalised
        gram.data *= lean[gram.indices] / np.repeat(lean, np.diff(gram.indptr))
        self._local = gram
        factors = [(vectors / norm[:, None] * self.config.low_pass, vectors.T * norm)] if self.config.low_pass else []
        if self.config.sharpening:
            damping = values * np.expm1(-self.config.sharpening * values)
            factors.append((vectors / lean[:, None] * damping, vectors.T * lean))
        self._keep(factors)

    def _sharpen_all(
        self,
        normalised: csr_array,
        scales: "Scales | None",
        lean: Float32Array,
        norm: Float32Array,
        start: Float32Array | None,
    ) -> None:
        from recsys_vae.models.sharpening import largest_entries, reach, rk4_weights, shorter
        from recsys_vae.models.spectrum import Gram

        values, vectors = self._spectrum(normalised, scales, start)
        gram, weights, rank = Gram(normalised, scales), rk4_weights(self.config.sharpening), len(values)
        rest = shorter(weights, reach(gram, values, vectors))
        taken, response = ((values * polyval(values, powers)).astype(np.float32) for powers in (rest, weights))
        self._local = largest_entries(gram, rest, vectors, taken, lean, self.config.neighbours)
        right = _right_factor(gram, weights, vectors, norm)
        del gram, vectors  # before as much is needed for the other factor
        self._left, self._right = np.empty((self.n_items, 2 * rank), dtype=np.float32), right
        np.multiply(right[:rank].T, response, out=self._left[:, :rank])
        np.multiply(right[:rank].T, np.float32(self.config.low_pass), out=self._left[:, rank:])
        self._left[:, :rank] /= lean[:, None]
        self._left[:, rank:] /= norm[:, None]
        right[:rank] *= lean

    def _keep(self, factors: list[tuple[np.ndarray, np.ndarray]]) -> None:
        """Put factors side by side."""
        none = np.zeros((self.n_items, 0), dtype=np.float32)
        self._left = np.hstack([none, *(left.astype(np.float32) for left, _ in factors)])
        self._right = np.vstack([none.T, *(right.astype(np.float32) for _, right in factors)])


def _right_factor(gram: "Gram", weights: list[float], vectors: Float32Array, norm: Float32Array) -> Float32Array:
    """V^T and V^T D_I^b p(P), one above the other, shape (2 r, n_items)."""
    import torch

    rank = vectors.shape[1]
    found = np.empty((2 * rank, len(vectors)), dtype=np.float32)
    for start in range(0, rank, STRIPE):
        some = vectors[:, start : start + STRIPE]
        stop = start + some.shape[1]
        found[start:stop] = some.T
        found[rank + start : rank + stop] = gram.polynomial(weights, torch.from_numpy(some * norm[:, None])).numpy().T
    return found


def _degrees(graph: csr_array) -> NDArray[np.float64]:
    """Weights of each item added up, shape (n_items,); 1 for an item without any."""
    sums = np.bincount(graph.indices, graph.data.astype(np.float64), minlength=graph.shape[1]).astype(np.float64)
    return np.where(sums > 0, sums, 1.0)
