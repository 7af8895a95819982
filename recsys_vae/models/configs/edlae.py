"""Settings of EDLAE: what they mean is told in `models/edlae.py`."""

from dataclasses import dataclass
from typing import ClassVar

from recsys_vae.errors import ConfigError
from recsys_vae.models.entry import CLOSED_FORM, Traits
from recsys_vae.models.search_space import Real, SearchSpace
from recsys_vae.models.weighting import BY_DISLIKE, BY_WEIGHT, SignedOptions


@dataclass(frozen=True)
class EDLAEConfig(SignedOptions):
    """Two penalties, beside what `weighting` adds.

    Attributes:
        dropout: p, share of the input entries that are dropped.
        l2: lambda, of all items alike.
    """

    TRAITS: ClassVar[Traits] = CLOSED_FORM
    SEARCH_SPACE: ClassVar[SearchSpace] = {
        "dropout": Real(0.0, 0.9),
        "l2": Real(1.0, 10_000.0, log=True),
        **BY_WEIGHT,
        **BY_DISLIKE,
    }

    dropout: float = 0.3
    l2: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is a share of the input entries, at least 0 and below 1; got {self.dropout}.")
        if not self.l2 > 0:
            raise ConfigError(f"l2 must be above 0 for the Gram matrix to be invertible, got {self.l2}.")
