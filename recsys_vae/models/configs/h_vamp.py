"""Settings of H+Vamp: what they mean is told in `models/h_vamp.py`."""

from dataclasses import dataclass
from typing import ClassVar

from recsys_vae.errors import ConfigError
from recsys_vae.models.configs.mult_vae import check_dropout
from recsys_vae.models.entry import VARIATIONAL, Traits
from recsys_vae.models.search_space import BY_GRADIENT, Real, SearchSpace, Whole
from recsys_vae.models.weighting import BY_DISLIKE, BY_WEIGHT, SignedOptions


@dataclass(frozen=True)
class HVampConfig(SignedOptions):
    """Widths, dropout and the prior; the widths are the paper's.

    Attributes:
        hidden: width of the gated layers.
        latent: dimensions of each of the two codes.
        dropout: share of the input entries that is dropped in training.
        pseudo_inputs: K, parts of the prior.
        pseudo_histories: whether the pseudo-inputs are histories over all items, as in the paper.
    """

    TRAITS: ClassVar[Traits] = VARIATIONAL
    SEARCH_SPACE: ClassVar[SearchSpace] = {
        **BY_GRADIENT,
        "hidden": Whole(100, 1000, step=100),
        "latent": Whole(50, 400, step=50),
        "dropout": Real(0.1, 0.8),
        "kl_weight": Real(0.01, 1.0, log=True),
        **BY_WEIGHT,
        **BY_DISLIKE,
    }

    hidden: int = 600
    latent: int = 200
    dropout: float = 0.5
    pseudo_inputs: int = 500
    pseudo_histories: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.hidden, self.latent, self.pseudo_inputs) < 1:
            raise ConfigError(
                "Widths and the number of pseudo-inputs are at least 1, got "
                f"hidden={self.hidden}, latent={self.latent}, pseudo_inputs={self.pseudo_inputs}."
            )
        check_dropout(self.dropout)
