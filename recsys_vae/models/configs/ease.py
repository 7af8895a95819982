"""Settings of EASE: what they mean is told in `models/ease.py`."""

from dataclasses import dataclass
from typing import ClassVar

from recsys_vae.errors import ConfigError
from recsys_vae.models.entry import CLOSED_FORM, Traits
from recsys_vae.models.search_space import Real, SearchSpace
from recsys_vae.models.weighting import BY_DISLIKE, BY_WEIGHT, SignedOptions


@dataclass(frozen=True)
class EASEConfig(SignedOptions):
    """The one hyperparameter, beside what `weighting` adds.

    Attributes:
        l2: lambda; 100 to 1000 for most data sets.
    """

    TRAITS: ClassVar[Traits] = CLOSED_FORM
    SEARCH_SPACE: ClassVar[SearchSpace] = {"l2": Real(10.0, 10_000.0, log=True), **BY_WEIGHT, **BY_DISLIKE}

    l2: float = 500.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.l2 > 0:
            raise ConfigError(f"l2 must be above 0 for the Gram matrix to be invertible, got {self.l2}.")
