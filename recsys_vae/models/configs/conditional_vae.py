"""Settings of the conditional VAE: what they mean is told in `models/conditional_vae.py`."""

from dataclasses import dataclass
from typing import ClassVar

from recsys_vae.errors import ConfigError
from recsys_vae.models.configs.mult_vae import check_dropout
from recsys_vae.models.entry import VARIATIONAL, Traits
from recsys_vae.models.search_space import BY_GRADIENT, Real, SearchSpace, Whole
from recsys_vae.models.weighting import BY_DISLIKE, BY_WEIGHT, SignedOptions


@dataclass(frozen=True)
class ConditionalVAEConfig(SignedOptions):
    """Widths, dropout and metadata; widths and dropout of histories are Mult-VAE's.

    Attributes:
        hidden: width of the hidden layers of encoder and decoder.
        latent: dimensions of the code.
        dropout: share of the input entries that is dropped in training.
        prior_hidden: width of the prior's hidden layer.
        metadata: columns of each field of the metadata, as the dataset's schema has them; filled in by training.
        metadata_dropout: how often a field, and all fields together, go missing in training.
        short: share of the users that are shown a short history in training.
        longest_short: items in the longest of these.
    """

    TRAITS: ClassVar[Traits] = VARIATIONAL
    SEARCH_SPACE: ClassVar[SearchSpace] = {
        **BY_GRADIENT,
        "hidden": Whole(100, 1000, step=100),
        "latent": Whole(50, 400, step=50),
        "dropout": Real(0.1, 0.8),
        "kl_weight": Real(0.01, 1.0, log=True),
        "short": Real(0.0, 1.0),
        **BY_WEIGHT,
        **BY_DISLIKE,
    }

    hidden: int = 600
    latent: int = 200
    dropout: float = 0.5
    prior_hidden: int = 100
    metadata: tuple[int, ...] = ()
    metadata_dropout: float = 0.1
    short: float = 0.8
    longest_short: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if (
            min(self.hidden, self.latent, self.prior_hidden, self.longest_short) < 1
            or min(self.metadata, default=0) < 0
        ):
            raise ConfigError(
                f"Widths and longest_short are at least 1, got hidden={self.hidden}, latent={self.latent}, "
                f"prior_hidden={self.prior_hidden}, longest_short={self.longest_short}, metadata={self.metadata}."
            )
        if not 0 <= self.short <= 1:
            raise ConfigError(f"short is a share of the users, 0 to 1; got {self.short}.")
        check_dropout(self.dropout)
        check_dropout(self.metadata_dropout)
