"""One tier of a fallback chain, as something that can be evaluated; the chain itself can be as it is."""

from dataclasses import dataclass

from scipy.sparse import csr_array

from recsys_vae.protocols import Float32Array
from recsys_vae.recommender import FallbackChain


@dataclass(frozen=True, eq=False)
class OnTier:
    """A fallback chain for `evaluate` to measure, one tier answering everybody.

    Attributes:
        chain: it.
        tier: that answers.
        weight: of segment popularity beside it.
    """

    chain: FallbackChain
    tier: str
    weight: float = 0.0

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return self.chain.n_items

    @property
    def is_signed(self) -> bool:
        """It takes signed histories, as the chain does."""
        return True

    @property
    def n_features(self) -> int:
        """Width of the metadata."""
        return self.chain.n_features

    @property
    def is_sequential(self) -> bool:
        """Whether the model goes by the order of histories."""
        return self.chain.is_sequential

    def score(
        self, histories: csr_array, metadata: csr_array | None = None, *, order: csr_array | None = None
    ) -> Float32Array:
        """Scores of all items, shape (n, n_items)."""
        return self.chain.scores(self.chain.encode(histories, metadata, order, tier=self.tier, weight=self.weight))
