"""Settings of blends: what they mean is told in `models/blend.py`."""

from dataclasses import dataclass, field, fields
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
        share: of the score, for one of the further models of a blend.
        epochs: passes over the data, likewise, where it is trained by gradient; 0 leaves them open.
    """

    model: str
    place: type | str = field(compare=False)
    config: Any
    share: float = 0.0
    epochs: int = 0

    @property
    def model_class(self) -> type:
        """The class of the model."""
        return class_at(self.place)

    @property
    def traits(self) -> Traits:
        """What decides which settings it takes."""
        return traits_of(type(self.config), self.place)


class Parts(tuple[Part, ...]):
    """Several models inside another."""

    __slots__ = ()


NO_PARTS = Parts()


def named_parts(config: Any) -> dict[str, Part]:
    """Models inside one of this configuration, by the names that settings of theirs begin with."""
    found: dict[str, Part] = {}
    for one in fields(config):
        value = getattr(config, one.name)
        if isinstance(value, Part):
            found[one.name] = value
        elif isinstance(value, Parts):
            found |= {f"{one.name}.{number}": part for number, part in enumerate(value, start=1)}
    return found


def parts_of(config: Any) -> list[Part]:
    """Models inside one of this configuration."""
    return list(named_parts(config).values())


@dataclass(frozen=True)
class BlendConfig:
    """Models and their shares; it has no search space, its parts are tuned alone.

    Attributes:
        autoencoder: a model that is trained by gradient.
        linear: a model in closed form.
        weight: the linear model's share of the score, below 1; 0 leaves all shares open.
        more: further models, of either kind, each with its share; what is left is the autoencoder's.
    """

    TRAITS: ClassVar[Traits] = Traits()

    autoencoder: Part = Part("mult-vae", "recsys_vae.models.mult_vae:MultVAE", MultVAEConfig())
    linear: Part = Part("ease", "recsys_vae.models.ease:EASE", EASEConfig())
    weight: float = 0.0
    more: Parts = NO_PARTS

    def __post_init__(self) -> None:
        if not 0 <= self.weight < 1:
            raise ConfigError(
                f"weight is the linear model's share, above 0 and below 1, or 0 to have it chosen; got {self.weight}."
            )
        if not self.autoencoder.traits.by_gradient:
            raise ConfigError(f"The autoencoder of a blend is trained by gradient; {self.autoencoder.model} is not.")
        if not self.linear.traits.closed_form:
            raise ConfigError(f"The linear part of a blend is solved in closed form; {self.linear.model} is not.")
        if others := [part.model for part in self.more if not (part.traits.by_gradient or part.traits.closed_form)]:
            raise ConfigError(
                f"A further part of a blend is trained by gradient or in closed form; {others[0]} is not."
            )
        if not all(0 <= part.share < 1 and part.epochs >= 0 for part in self.more):
            raise ConfigError("The share of a further part of a blend is from 0 to below 1, its epochs from 0.")
        if not self.weight and any(part.share for part in self.more):
            raise ConfigError("Shares of further parts go with the weight of the linear one: give all of them or none.")
        if self.weight + sum(part.share for part in self.more) >= 1:
            raise ConfigError(
                "The shares of the parts beside the autoencoder add up to less than 1: it needs one, too."
            )

    @property
    def shares(self) -> tuple[float, ...]:
        """Of the score, of the autoencoder, the linear model, and the further ones."""
        others = (self.weight, *(part.share for part in self.more))
        return (1 - sum(others), *others)
