"""Segment popularity: what is popular among users with the same metadata, shrunk towards what is popular at all.

    p_i     = (c_i + 1/2) / sum_j (c_j + 1/2)
    p_i|s   = (c_si + m p_i) / (sum_j c_sj + m)
    score   = log p_i + sum_s f_s (log p_i|s - log p_i)

c_si adds up the weights of item i's interactions by users of segment s: 1 each, or less the older they are. A segment
is one value of one category or set (f_s is its share in the set); those that a user is in are combined as if they were
independent. m is a Dirichlet prior's strength: a segment with far fewer interactions than m is hardly heard.

Stored are the interactions that exist, not segments times items.

Source: Bayesian shrinkage: Zhai & Lafferty, A Study of Smoothing Methods for Language Models, TOIS 2004, section 3.2.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from recsys_vae.arrays import floats_of, sparse_of
from recsys_vae.data.features import check_metadata
from recsys_vae.errors import ConfigError, DataError
from recsys_vae.protocols import BoolArray, Float32Array, Tensors


@dataclass(frozen=True, eq=False)
class SegmentPopularity:
    """Popularity by segment, ready to score.

    Attributes:
        log_shares: log p_i, shape (n_items,).
        floors: log(p_i|s / p_i) of an item that segment s has never touched, shape (n_segments,).
        lifts: how much more than that the others have, shape (n_segments, n_items).
        shrinkage: m.
        half_life: days in which an interaction's weight halves, as it was learned; infinite where weights stay.
    """

    log_shares: Float32Array
    floors: Float32Array
    lifts: csr_array
    shrinkage: float
    half_life: float = math.inf

    @classmethod
    def learn(
        cls,
        interactions: csr_array,
        metadata: csr_array,
        segments: BoolArray,
        *,
        shrinkage: float,
        half_life: float = math.inf,
    ) -> "SegmentPopularity":
        """Count and shrink.

        Args:
            interactions: weights > 0, shape (n_users, n_items).
            metadata: of the same users, shape (n_users, n_features).
            segments: which columns of the metadata are segments, shape (n_features,); numbers are none.
            shrinkage: m, in interactions, above 0.
            half_life: in days, of the weights, to be kept with what is learned.

        Raises:
            ConfigError: `shrinkage` is not above 0.
            DataError: the metadata are of other users.
        """
        if not shrinkage > 0:
            raise ConfigError(f"shrinkage is a number of interactions, above 0; got {shrinkage}.")
        check_metadata(metadata, interactions.shape[0], len(segments))
        smoothed = np.asarray(interactions.sum(axis=0), dtype=np.float64) + 0.5
        shares = smoothed / smoothed.sum()
        counts = csr_array(metadata.T @ interactions, dtype=np.float64)
        counts = csr_array(counts * segments[:, None].astype(np.float64))
        counts.eliminate_zeros()
        counts.sort_indices()
        floors = np.log(shrinkage / (np.asarray(counts.sum(axis=1)) + shrinkage))
        lifts = counts.copy()
        lifts.data = np.log1p(counts.data / (shrinkage * shares[counts.indices]))
        return cls(
            np.log(shares).astype(np.float32), floors.astype(np.float32), lifts.astype(np.float32), shrinkage, half_life
        )

    @property
    def n_features(self) -> int:
        """Width of the metadata."""
        return len(self.floors)

    def score(self, metadata: csr_array) -> Float32Array:
        """Scores of all items, shape (n, n_items); rows without segments get the logarithm of plain popularity."""
        check_metadata(metadata, metadata.shape[0], self.n_features)
        own = np.asarray((metadata @ self.lifts).todense()) + (metadata @ self.floors)[:, None]
        return np.asarray(self.log_shares + own, dtype=np.float32)

    def tensors(self) -> Tensors:
        """As a bundle keeps it."""
        return {
            "log_shares": self.log_shares,
            "floors": self.floors,
            "settings": np.array([self.shrinkage, self.half_life]),
            "lifts.data": self.lifts.data,
            "lifts.indices": self.lifts.indices.astype(np.int64),
            "lifts.indptr": self.lifts.indptr.astype(np.int64),
        }

    @classmethod
    def from_tensors(cls, tensors: Tensors, n_items: int, n_features: int) -> "SegmentPopularity":
        """Read what `tensors` returned.

        Raises:
            DataError: something is missing, of another catalogue or schema, out of range or not finite.
        """
        settings = np.asarray(tensors.get("settings", ()))
        if settings.shape != (2,) or not (0 < settings[0] < math.inf and settings[1] > 0):
            raise DataError(
                f"Segment popularity has the settings {settings}, expected a strength and a half-life, > 0."
            )
        return cls(
            floats_of(tensors, "log_shares", (n_items,)),
            floats_of(tensors, "floors", (n_features,)),
            sparse_of(tensors, "lifts", (n_features, n_items)),
            *map(float, settings),
        )
