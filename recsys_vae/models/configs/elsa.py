"""Settings of ELSA: what they mean is told in `models/elsa.py`."""

from dataclasses import dataclass
from typing import ClassVar

from recsys_vae.errors import ConfigError
from recsys_vae.models import entry
from recsys_vae.models.entry import Traits
from recsys_vae.models.search_space import BY_GRADIENT, OneOf, SearchSpace
from recsys_vae.models.weighting import BY_DISLIKE, BY_WEIGHT, SignedOptions


@dataclass(frozen=True)
class ELSAConfig(SignedOptions):
    """The rank.

    Attributes:
        factors: columns of A, dimensions of queries and item vectors.
    """

    TRAITS: ClassVar[Traits] = entry.BY_GRADIENT
    SEARCH_SPACE: ClassVar[SearchSpace] = {
        **BY_GRADIENT,
        "factors": OneOf((128, 256, 512, 1024)),
        **BY_WEIGHT,
        **BY_DISLIKE,
    }

    factors: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factors < 1:
            raise ConfigError(f"factors is at least 1, got {self.factors}.")
