"""Settings of blends: what they mean is told in `models/blend.py`."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from recsys_vae.errors import ConfigError
from recsys_vae.models.configs.ease import EASEConfig
from recsys_vae.models.configs.mult_vae import MultVAEConfig
from recsys_vae.models.entry import Traits, class_at, traits_of


@dataclass(frozen=True)
class Part:
    """A model inside another.

    Attributes:
        model: its name in the catalogue.
        place: its class, made from (n_items, config), or where that is, as in an `Entry`.
        config: its configuration.
    """

    model: str
    place: type | str = field(compare=False)
    config: Any

    @property
    def model_class(self) -> type:
        """The class of the model."""
        return class_at(self.place)

    @property
    def traits(self) -> Traits:
        """What decides which settings it takes."""
        return traits_of(type(self.config), self.place)


@dataclass(frozen=True)
class BlendConfig:
    """Two models and their weight; it has no search space, its parts are tuned alone.

    Attributes:
        autoencoder: a model that is trained by gradient.
        linear: a model in closed form.
        weight: w, the linear model's share of the score, below 1; 0 leaves it open.
    """

    TRAITS: ClassVar[Traits] = Traits()

    autoencoder: Part = Part("mult-vae", "recsys_vae.models.mult_vae:MultVAE", MultVAEConfig())
    linear: Part = Part("ease", "recsys_vae.models.ease:EASE", EASEConfig())
    weight: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.weight < 1:
            raise ConfigError(
                f"weight is the linear model's share, above 0 and below 1, or 0 to have it chosen; got {self.weight}."
            )
        if not self.autoencoder.traits.by_gradient:
            raise ConfigError(f"The autoencoder of a blend is trained by gradient; {self.autoencoder.model} is not.")
        if not self.linear.traits.closed_form:
            raise ConfigError(f"The linear part of a blend is solved in closed form; {self.linear.model} is not.")
