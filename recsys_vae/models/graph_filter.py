"""GraphFilter: a linear recommender that filters histories over the graph of items with common users.

    R~ = D_U^-a R D_I^-b,  P = R~^T R~ / lambda_1 = sum_i lambda_i v_i v_i^T       D: degrees; V, Lambda: leading `rank`
    linear      S = P + V Lambda (e^(-T Lambda) - I) V^T                           T: time of sharpening
    score(x)    x D_I^-q S D_I^q  +  alpha x D_I^-b V V^T D_I^b                    alpha: weight of the ideal low-pass

With a = b = 1/2, q = T = 0 this is GF-CF, and these are the defaults. Three things may be chosen besides:

- the exponents: how strongly long histories (a) and popular items (b) are damped, and how far the results lean to
  popular items again (q);
- T, the sharpening of BSPM. Where that integrates dh/dt = -hP for all components, on the users' dense scores, here the
  equation is solved in closed form, on the leading components, which hold what everybody likes; the tail stays as it
  is. On Gowalla that is both more accurate and a fraction of the work.

What is kept is P, as a sparse matrix of items by items, with its leading eigenvectors. R~ would be several times
smaller, but its rows are users, and a model carries none. P is sparse as long as most items share no user; it holds an
entry for each pair of items that do.

Sources: Shen et al., How Powerful is Graph Convolution for Recommendation?, CIKM 2021, eq. 12 and algorithm 1 (GF-CF);
Choi et al., Blurring-Sharpening Process Models for Collaborative Filtering, SIGIR 2023, eq. 9 (BSPM).
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.errors import ConfigError, DataError
from recsys_vae.interactions import binarise, check_histories
from recsys_vae.models.spectrum import leading_spectrum
from recsys_vae.protocols import Float32Array, Tensors

CHUNK = 64
"""Users whose scores are summed at once: their sparse sums, several times the size of the result, stay small."""


@dataclass(frozen=True)
class GraphFilterConfig:
    """Exponents and filters; the defaults are GF-CF's.

    Attributes:
        user_exponent: a, of the length of a history, in its normalisation.
        item_exponent: b, of the number of users of an item, likewise.
        popularity_exponent: q, of that number, as a factor of the linear filter's scores; divides the history's items.
        rank: number of leading eigenvectors.
        low_pass: alpha, weight of the ideal low-pass filter.
        sharpening: T, time that the leading components are sharpened for.
    """

    user_exponent: float = 0.5
    item_exponent: float = 0.5
    popularity_exponent: float = 0.0
    rank: int = 256
    low_pass: float = 0.3
    sharpening: float = 0.0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"rank is a number of eigenvectors, at least 1; got {self.rank}.")
        if self.low_pass < 0 or self.sharpening < 0:
            raise ConfigError(
                f"low_pass and sharpening are at least 0, got {self.low_pass} and {self.sharpening}: 0 leaves them out."
            )


class GraphFilter:
    """The filters of Shen et al. 2021 and Choi et al. 2023 in closed form."""

    def __init__(self, n_items: int, config: GraphFilterConfig) -> None:
        self.config = config
        self._n_items = n_items
        self._gram = csr_array((0, 0), dtype=np.float32)
        self._degrees = self._eigenvalues = np.zeros(0, dtype=np.float32)
        self._vectors: Float32Array = np.zeros((0, 0), dtype=np.float32)

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return self._n_items

    def fit(self, interactions: csr_array) -> None:
        """Count, normalise, and decompose the binarised interactions, shape (n_users, n_items)."""
        check_histories(interactions, self.n_items)
        binary = binarise(interactions)
        lengths = np.diff(binary.indptr)
        degrees = np.maximum(np.bincount(binary.indices, minlength=self.n_items), 1).astype(np.float64)
        entries = np.repeat(lengths.clip(1) ** -self.config.user_exponent, lengths)
        entries *= degrees[binary.indices] ** -self.config.item_exponent
        normalised = csr_array((entries.astype(np.float32), binary.indices, binary.indptr), shape=binary.shape)
        values, vectors = leading_spectrum(normalised, self.config.rank)
        largest = values.max(initial=0.0) or 1.0
        self._gram = csr_array(normalised.T) @ normalised * np.float32(1.0 / largest)
        self._eigenvalues = (values / largest).astype(np.float32)
        self._degrees, self._vectors = degrees.astype(np.float32), vectors

    def score(self, histories: csr_array) -> Float32Array:
        """Filtered binarised histories, shape (n, n_items)."""
        check_histories(histories, self.n_items)
        if not self._degrees.size:
            raise DataError("This graph filter has not been fitted: call fit first.")
        binary, scores = binarise(histories), np.empty(histories.shape, dtype=np.float32)
        for start in range(0, len(scores), CHUNK):
            self._score_into(scores[start : start + CHUNK], binary[start : start + CHUNK])
        return scores

    def tensors(self) -> Tensors:
        """P as CSR, its leading eigenvalues and eigenvectors, and the items' degrees."""
        return {
            "gram.data": self._gram.data,
            "gram.indices": self._gram.indices,
            "gram.indptr": self._gram.indptr,
            "eigenvalues": self._eigenvalues,
            "eigenvectors": self._vectors,
            "degrees": self._degrees,
        }

    def load_tensors(self, tensors: Tensors) -> None:
        """Take over what was learned.

        Raises:
            DataError: something is missing, or of another catalogue.
        """
        try:
            gram = tuple(tensors[f"gram.{name}"] for name in ("data", "indices", "indptr"))
            values, vectors, degrees = (tensors[name] for name in ("eigenvalues", "eigenvectors", "degrees"))
            self._gram = csr_array(gram, shape=(self.n_items, self.n_items))
        except (KeyError, ValueError) as error:
            raise DataError(f"Expected the tensors of a graph filter over {self.n_items} items: {error}") from error
        if vectors.shape != (self.n_items, len(values)) or degrees.shape != (self.n_items,):
            raise DataError(f"Expected eigenvectors and degrees of {self.n_items} items, got {vectors.shape[0]}.")
        self._eigenvalues, self._vectors, self._degrees = (
            tensor.astype(np.float32) for tensor in (values, vectors, degrees)
        )

    def _score_into(self, scores: Float32Array, histories: csr_array) -> None:
        popularity = self._degrees**self.config.popularity_exponent
        leaning = _scaled(histories, 1.0 / popularity)
        (leaning @ self._gram).toarray(out=scores)
        if self.config.sharpening:
            damping = self._eigenvalues * np.expm1(-self.config.sharpening * self._eigenvalues)
            scores += ((leaning @ self._vectors) * damping) @ self._vectors.T
        scores *= popularity
        if self.config.low_pass:
            norm = self._degrees**self.config.item_exponent
            codes = self.config.low_pass * (_scaled(histories, 1.0 / norm) @ self._vectors)
            scores += (codes @ self._vectors.T) * norm


def _scaled(histories: csr_array, factors: Float32Array) -> csr_array:
    """Each column times its factor."""
    return csr_array(
        (histories.data * factors[histories.indices], histories.indices, histories.indptr), histories.shape
    )
