"""Entry: what the catalogue holds of a model, which is known before its class, and torch with it, is imported."""

from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name


@dataclass(frozen=True)
class Traits:
    """What decides which settings a model takes.

    Attributes:
        closed_form: it is solved, by `fit`.
        by_gradient: it is a `Trainable`: settings of the training loop matter.
        variational: there is a KL to weigh.
        sequential: it goes by the order of histories.
    """

    closed_form: bool = False
    by_gradient: bool = False
    variational: bool = False
    sequential: bool = False


CLOSED_FORM = Traits(closed_form=True)
BY_GRADIENT = Traits(by_gradient=True)
VARIATIONAL = Traits(by_gradient=True, variational=True)


class Entry:
    """One model of the catalogue.

    Attributes:
        config: its frozen configuration; every field has a default. What is worth tuning is its `SEARCH_SPACE`, and
            where the loop's defaults do not suit it, its `TRAINING` says otherwise. With `TRAITS` it says of its model
            what would else be read from the class.
        place: the model's class, made from (n_items, config), or where it is, "MODULE:CLASS": it is imported then when
            it is first needed. What it takes to learn is its `cost` (see cost.py).
        summary: one line for `recsys models`.
    """

    def __init__(self, config: type, model: type | str, summary: str) -> None:
        self.config = config
        self.place = model
        self.summary = summary

    @cached_property
    def model(self) -> type:
        """The class of the model."""
        return class_at(self.place)

    @property
    def traits(self) -> Traits:
        """What decides which settings it takes."""
        return traits_of(self.config, self.place)

    def is_of(self, model: object) -> bool:
        """Whether a model is of this class, which need not be imported to tell."""
        kind = type(model)
        return self.place in (kind, f"{kind.__module__}:{kind.__qualname__}")


def class_at(place: type | str) -> type:
    """The class that a place names, or is."""
    found: type = resolve_name(place) if isinstance(place, str) else place
    return found


def traits_of(config: type, place: type | str) -> Traits:
    """Traits of a model, as its configuration says them, else as its class has them."""
    told: Traits | None = getattr(config, "TRAITS", None)
    return read_traits(class_at(place)) if told is None else told


def read_traits(model: type) -> Traits:
    """Traits of the class of a model."""
    from recsys_vae.models.trainable import Trainable
    from recsys_vae.models.variational import Variational

    return Traits(
        closed_form=hasattr(model, "fit"),
        by_gradient=issubclass(model, Trainable),
        variational=issubclass(model, Variational),
        sequential=getattr(model, "is_sequential", False) is True,
    )
