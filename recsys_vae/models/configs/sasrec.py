"""Settings of SASRec: what they mean is told in `models/sasrec.py`."""

from dataclasses import dataclass
from typing import Any, ClassVar

from recsys_vae.errors import ConfigError
from recsys_vae.models.configs.mult_vae import check_dropout
from recsys_vae.models.entry import Traits
from recsys_vae.models.search_space import OneOf, Real, SearchSpace, Whole

PLACES = ("rotary", "learned")
LOSSES = ("softmax", "gbce")


@dataclass(frozen=True)
class SASRecConfig:
    """Widths, depth and loss.

    Attributes:
        width: of item vectors and hidden layers.
        blocks: of attention.
        heads: of each; they share the width evenly.
        length: inputs of the longest window.
        dropout: share of the numbers that is dropped after the embedding and after each layer.
        places: how order is told: `rotary` or `learned`.
        loss: `softmax`, or `gbce`, which pays no attention to `likelihood`.
        gbce_negatives: items that gbce draws a step.
        gbce_calibration: t of gbce, 0 to 1.
    """

    TRAITS: ClassVar[Traits] = Traits(by_gradient=True, sequential=True)
    TRAINING: ClassVar[dict[str, Any]] = {"batch_size": 32, "epochs": 60, "patience": 5}
    SEARCH_SPACE: ClassVar[SearchSpace] = {
        "learning_rate": Real(3e-4, 3e-3, log=True),
        "batch_size": OneOf((16, 32, 64, 128, 500)),
        "width": OneOf((64, 128, 256)),
        "blocks": Whole(1, 3),
        "dropout": Real(0.1, 0.5),
    }

    width: int = 64
    blocks: int = 2
    heads: int = 2
    length: int = 200
    dropout: float = 0.2
    places: str = "rotary"
    loss: str = "softmax"
    gbce_negatives: int = 256
    gbce_calibration: float = 0.75

    def __post_init__(self) -> None:
        if min(self.width, self.blocks, self.heads, self.length, self.gbce_negatives) < 1:
            raise ConfigError(
                "width, blocks, heads, length and gbce_negatives are at least 1; got "
                f"{self.width}, {self.blocks}, {self.heads}, {self.length} and {self.gbce_negatives}."
            )
        if self.width % (2 * self.heads):
            raise ConfigError(f"Each of the {self.heads} heads has an even share of width; got {self.width}.")
        if self.places not in PLACES or self.loss not in LOSSES:
            raise ConfigError(
                f"places is one of {', '.join(PLACES)} and loss one of {', '.join(LOSSES)}; got {self.places!r} and "
                f"{self.loss!r}."
            )
        if not 0 <= self.gbce_calibration <= 1:
            raise ConfigError(f"gbce_calibration is between 0 and 1; got {self.gbce_calibration}.")
        check_dropout(self.dropout)
