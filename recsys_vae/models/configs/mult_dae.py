"""Settings of Mult-DAE: what they mean is told in `models/mult_dae.py`."""

from dataclasses import dataclass
from typing import ClassVar

from recsys_vae.errors import ConfigError
from recsys_vae.models import entry
from recsys_vae.models.configs.mult_vae import check_dropout, looks_at_all_items
from recsys_vae.models.entry import Traits
from recsys_vae.models.search_space import BY_GRADIENT, Real, SearchSpace, Whole
from recsys_vae.models.weighting import BY_DISLIKE, BY_WEIGHT, SignedOptions
from recsys_vae.nn.steps import Prediction, Step


@dataclass(frozen=True)
class MultDAEConfig(SignedOptions):
    """Width, dropout and weight penalty; the defaults are the paper's.

    Attributes:
        hidden: width of the hidden layer.
        dropout: share of the input entries that is dropped in training.
        l2: lambda, factor of the squared weights in the loss.
    """

    TRAITS: ClassVar[Traits] = entry.BY_GRADIENT
    SEARCH_SPACE: ClassVar[SearchSpace] = {
        **BY_GRADIENT,
        "hidden": Whole(100, 800, step=100),
        "dropout": Real(0.1, 0.8),
        "l2": Real(1e-4, 1.0, log=True),
        "weight_decay": Real(0.0, 2.0),
        **BY_WEIGHT,
        **BY_DISLIKE,
    }

    hidden: int = 200
    dropout: float = 0.5
    l2: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden < 1 or self.l2 < 0:
            raise ConfigError(f"hidden is at least 1 and l2 at least 0, got hidden={self.hidden}, l2={self.l2}.")
        check_dropout(self.dropout)

    @property
    def prediction(self) -> Prediction:
        """The layers that predict."""
        return Prediction((Step("encoder", self.hidden, "tanh"),))

    @property
    def looks_at_all_items(self) -> str:
        """Settings by which a step looks at all rows of the item tables; empty where it does by none."""
        return f"l2={self.l2:g}" if self.l2 else looks_at_all_items(self)
