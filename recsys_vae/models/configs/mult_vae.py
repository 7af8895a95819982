"""Settings of Mult-VAE: what they mean is told in `models/mult_vae.py`."""

from dataclasses import dataclass
from typing import ClassVar

from recsys_vae.errors import ConfigError
from recsys_vae.models.configs.hybrid import HybridOptions
from recsys_vae.models.entry import VARIATIONAL, Traits
from recsys_vae.models.search_space import BY_GRADIENT, Real, SearchSpace, Whole
from recsys_vae.models.weighting import BY_DISLIKE, BY_WEIGHT, SignedOptions
from recsys_vae.nn.steps import Prediction, Step


@dataclass(frozen=True)
class MultVAEConfig(HybridOptions, SignedOptions):
    """Widths and dropout; the defaults are the paper's. Metadata, if any, as in `hybrid`, weights as in `weighting`.

    Attributes:
        hidden: width of the hidden layers of encoder and decoder.
        latent: dimensions of the code.
        dropout: share of the input entries that is dropped in training.
    """

    TRAITS: ClassVar[Traits] = VARIATIONAL
    SEARCH_SPACE: ClassVar[SearchSpace] = {
        **BY_GRADIENT,
        "hidden": Whole(100, 1000, step=100),
        "latent": Whole(50, 400, step=50),
        "dropout": Real(0.1, 0.8),
        "kl_weight": Real(0.01, 1.0, log=True),
        "metadata_dropout": Real(0.0, 0.5),
        **BY_WEIGHT,
        **BY_DISLIKE,
    }

    hidden: int = 600
    latent: int = 200
    dropout: float = 0.5

    def __post_init__(self) -> None:
        HybridOptions.__post_init__(self)
        SignedOptions.__post_init__(self)
        if min(self.hidden, self.latent) < 1:
            raise ConfigError(f"Widths are at least 1, got hidden={self.hidden}, latent={self.latent}.")
        check_dropout(self.dropout)

    @property
    def prediction(self) -> Prediction:
        """The layers that predict, at the mean of the code."""
        first, code = Step("encoder_in", self.hidden, "tanh"), Step("encoder_out", 2 * self.latent)
        hidden = (first, code._replace(kept=self.latent), Step("decoder_in", self.hidden, "tanh"))
        return Prediction(hidden, (first,), (code,))

    @property
    def looks_at_all_items(self) -> str:
        """Settings by which a step looks at all rows of the item tables; empty where it does by none."""
        return "item_metadata=true" if self.item_metadata else looks_at_all_items(self)


def looks_at_all_items(options: SignedOptions) -> str:
    """Of those about dislikes."""
    return f"dislikes={options.dislikes:g}" if options.dislikes else ""


def check_dropout(rate: float) -> None:
    """Raise ConfigError unless 0 <= rate < 1."""
    if not 0 <= rate < 1:
        raise ConfigError(f"Dropout is the share of entries that is removed, 0 <= dropout < 1; got {rate}.")
