"""Settings of iALS: what they mean is told in `models/ials.py`."""

from dataclasses import dataclass
from typing import ClassVar

from recsys_vae.errors import ConfigError
from recsys_vae.models.entry import CLOSED_FORM, Traits
from recsys_vae.models.search_space import OneOf, Real, SearchSpace, Whole
from recsys_vae.models.weighting import WEIGHTS

LEAST, LARGEST = 1e-6, 1e6
"""Weights of entries count as no less and no more: what float32 makes of them stays finite."""
LEAST_SETTING, LARGEST_VECTOR, LARGEST_EIGENVALUE = 1e-9, 1e4, 1e30
"""No fit needs or leaves what is beyond: with such settings and tensors no score overflows."""
BLOCKS = 16
"""Blocks are multiples of it: they fill the registers of every level of instructions."""


@dataclass(frozen=True)
class IALSConfig:
    """Size, regularisation and confidence.

    Attributes:
        factors: dimensions of the vectors.
        iterations: half-steps over the users, each with one over the items.
        unobserved: confidence of what was never touched, of which a liked item of weight 1 has 1 more.
        l2: strength of the regularisation, in units of confidence.
        l2_exponent: v, from 0 (alike for all) to 1 (by what is known of a user or item).
        weights: what an entry's weight counts: `binary` 1, `log` log(1 + weight), `value` the weight.
        dislikes: g, confidence of a disliked item beside that of a liked one; 0: dislikes are passed over.
        start: seed of the vectors that the first half-step begins with.
        block: dimensions that a half-step solves for at once, a multiple of 16; 0: all of them, exactly.
    """

    TRAITS: ClassVar[Traits] = CLOSED_FORM
    SEARCH_SPACE: ClassVar[SearchSpace] = {
        "factors": OneOf((32, 64, 128, 256, 512)),
        "iterations": Whole(4, 32, step=4),
        "unobserved": Real(0.003, 3.0, log=True),
        "l2": Real(0.0003, 0.1, log=True),
        "l2_exponent": Real(0.0, 1.0),
        "weights": OneOf(WEIGHTS),
    }

    factors: int = 128
    iterations: int = 16
    unobserved: float = 0.1
    l2: float = 0.003
    l2_exponent: float = 1.0
    weights: str = "binary"
    dislikes: float = 0.0
    start: int = 0
    block: int = 32

    def __post_init__(self) -> None:
        if self.factors < 1 or self.iterations < 1:
            raise ConfigError(f"factors and iterations are at least 1, got {self.factors} and {self.iterations}.")
        for name in ("l2", "unobserved"):
            if not LEAST_SETTING <= getattr(self, name) <= LARGEST:
                raise ConfigError(f"{name} is between {LEAST_SETTING} and {LARGEST:g}, got {getattr(self, name)}.")
        if not 0 <= self.l2_exponent <= 1:
            raise ConfigError(f"l2_exponent is between 0 and 1, got {self.l2_exponent}.")
        if self.weights not in WEIGHTS:
            raise ConfigError(f"weights is one of {', '.join(WEIGHTS)}; got {self.weights!r}.")
        if not 0 <= self.dislikes <= LARGEST or self.start < 0:
            raise ConfigError(f"dislikes and start are at least 0, got {self.dislikes} and {self.start}.")
        if self.block < 0 or self.block % BLOCKS:
            raise ConfigError(f"block is a multiple of {BLOCKS}, or 0 for exact half-steps; got {self.block}.")
