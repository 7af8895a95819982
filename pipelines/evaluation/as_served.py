"""What a bundle answers with, as something that can be evaluated."""

from dataclasses import dataclass

from scipy.sparse import csr_array

from recsys_vae.protocols import Float32Array
from recsys_vae.recommender import FallbackChain


@dataclass(frozen=True, eq=False)
class OnTier:
    """A fallback chain for `evaluate` to measure; one tier answers everybody, with None whatever its thresholds name.

    Attributes:
        chain: it.
        tier: that answers.
        weight: of segment popularity beside it.
    """

    chain: FallbackChain
    tier: str | None
    weight: float = 0.0

    @property
    def n_items(self) -> int:
        """Width of the catalogue."""
        return len(self.chain.bundle.items)

    @property
    def n_features(self) -> int:
        """Width of the metadata."""
        schema = self.chain.bundle.tiers.schema
        return 0 if schema is None else schema.width

    def score(self, histories: csr_array, metadata: csr_array | None = None) -> Float32Array:
        """Scores of all items, shape (n, n_items)."""
        return self.chain.scores(self.chain.encode(histories, metadata, tier=self.tier, weight=self.weight))
