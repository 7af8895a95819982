"""Settings of RecVAE: what they mean is told in `models/rec_vae.py`."""

from dataclasses import dataclass
from typing import ClassVar

from recsys_vae.errors import ConfigError
from recsys_vae.models.configs.hybrid import HybridOptions
from recsys_vae.models.configs.mult_vae import check_dropout
from recsys_vae.models.entry import VARIATIONAL, Traits
from recsys_vae.models.search_space import BY_GRADIENT, Real, SearchSpace, Whole
from recsys_vae.models.weighting import BY_DISLIKE, BY_WEIGHT, SignedOptions
from recsys_vae.nn.steps import Norm, Prediction, Step

DENSE_LAYERS, NORM_EPSILON = 4, 0.1
"""Hidden layers above the first; what is added to variances."""


@dataclass(frozen=True)
class RecVAEConfig(HybridOptions, SignedOptions):
    """Widths, dropout and the rhythm of training; the defaults are the paper's. Metadata, if any, as in `hybrid`.

    Attributes:
        hidden: width of the encoder's five layers.
        latent: dimensions of the code, which are those of the retrieval queries but for the bias.
        dropout: share of the input entries that is dropped while the encoder learns.
        reference_length: number of items in the history of a user whose KL counts with the plain KL weight.
        encoder_passes: passes over the users that train the encoder before one that trains the decoder.
    """

    TRAITS: ClassVar[Traits] = VARIATIONAL
    SEARCH_SPACE: ClassVar[SearchSpace] = {
        **BY_GRADIENT,
        "latent": Whole(50, 400, step=50),
        "dropout": Real(0.1, 0.8),
        "kl_weight": Real(0.01, 1.0, log=True),
        "weight_decay": Real(0.0, 1.0),
        "metadata_dropout": Real(0.0, 0.5),
        **BY_WEIGHT,
        **BY_DISLIKE,
    }

    hidden: int = 600
    latent: int = 200
    dropout: float = 0.5
    reference_length: float = 40.0
    encoder_passes: int = 3

    def __post_init__(self) -> None:
        HybridOptions.__post_init__(self)
        SignedOptions.__post_init__(self)
        if min(self.hidden, self.latent, self.encoder_passes) < 1:
            raise ConfigError(
                "Widths and encoder_passes are at least 1, got "
                f"hidden={self.hidden}, latent={self.latent}, encoder_passes={self.encoder_passes}."
            )
        if not self.reference_length > 0:
            raise ConfigError(f"reference_length is above 0, got {self.reference_length}.")
        check_dropout(self.dropout)

    @property
    def prediction(self) -> Prediction:
        """The layers that predict, at the mean of the code."""
        names = ("first", *(f"layers.{number}" for number in range(DENSE_LAYERS)))
        norms = (Norm(f"encoder.norms.{number}", NORM_EPSILON) for number in range(len(names)))
        features = tuple(
            Step(f"encoder.{name}", self.hidden, "silu", norm, adds_before=name != "first")
            for name, norm in zip(names, norms, strict=True)
        )
        mean, log_variance = (Step(f"encoder.{name}", self.latent) for name in ("mean", "log_variance"))
        return Prediction((*features, mean), features, (mean, log_variance))
