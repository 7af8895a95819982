"""Candidates: the models of the catalogue that are worth trying on a dataset, and why others are not."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from pipelines.selection.draws import Settings, draw
from pipelines.selection.machine import seconds_of
from pipelines.training.fit import ModelSpec
from pipelines.training.model_settings import settings_of, specify
from recsys_vae.errors import ConfigError, PluginError, UnknownNameError
from recsys_vae.models import catalog
from recsys_vae.models.configs.blend import Part
from recsys_vae.models.configs.hybrid import OF_METADATA
from recsys_vae.models.cost import Cost, Sizes, expected_cost
from recsys_vae.training.config import TrainingConfig
from recsys_vae.training.spec import suited

SOLVED_DRAWS, TRAINED_DRAWS = 8, 3
"""Choices of settings besides the defaults: of a model in closed form, and of one that is trained by gradient."""
BLEND = "blend"


@dataclass(frozen=True)
class Candidate:
    """A model that is tried.

    Attributes:
        base: with the settings that nobody chooses.
        choices: settings that are tried; the first are none, the defaults.
        cost: of learning; None where it is not known.
        seconds: what that is here: of a model in closed form to the end, else of an epoch; None likewise.
    """

    base: ModelSpec
    choices: tuple[Settings, ...]
    cost: Cost | None = None
    seconds: float | None = None

    @property
    def name(self) -> str:
        """In the catalogue."""
        return self.base.name

    @property
    def is_trained(self) -> bool:
        """By gradient, epoch by epoch."""
        return self.base.is_trained_by_gradient

    def spec(self, choice: int) -> ModelSpec:
        """The model with the settings of a choice."""
        settings = settings_of(self.base).settings | dict(self.choices[choice])
        return specify(self.name, settings, self.base.training)

    @property
    def simplicity(self) -> tuple[int, int, float]:
        """The smaller, the simpler: in closed form before by gradient before both; then by the number of settings that
        are worth choosing; then by the operations that learning takes.
        """
        kind = 2 if self.name == BLEND else int(self.is_trained)
        return kind, len(catalog.search_space(self.name)), self.cost.operations if self.cost else float("inf")


@dataclass(frozen=True)
class Contest:
    """Who is tried, and who is not.

    Attributes:
        candidates: who is tried, cheapest first.
        left_out: who is not, by name, with the reason.
        choices: settings by name, also of those for whom this machine has no room now.
        blends: whether a blend of the best two is tried too.
    """

    candidates: tuple[Candidate, ...]
    left_out: dict[str, str]
    choices: dict[str, tuple[Settings, ...]]
    blends: bool

    def of(self, name: str) -> Candidate:
        """The candidate of that name."""
        return next(one for one in self.candidates if one.name == name)


def choose_candidates(
    sizes: Sizes,
    training: TrainingConfig,
    *,
    only: Sequence[str] = (),
    has_user_metadata: bool,
    has_order: bool = False,
    without_effect: frozenset[str] = frozenset(),
    memory: float,
    speed: float,
) -> Contest:
    """All models of the catalogue, or those that are named, but for what cannot be tried here.

    Args:
        sizes: of what is learned from.
        training: settings of the training that nobody chooses.
        has_user_metadata: whether the dataset declares any.
        has_order: whether the histories have an order.
        without_effect: settings that make no difference on such data.
        memory: bytes that are free.
        speed: of the machine, in operations a second.

    Raises:
        UnknownNameError: no such model.
        ConfigError: nothing is left.
    """
    for name in only:
        if name not in catalog.names():
            raise UnknownNameError("model", name, catalog.names())
    found, left_out, choices = [], {}, {}
    for name in [name for name in catalog.names() if not only or name in only]:
        try:
            candidate = _candidate(name, sizes, training, speed, without_effect)
            reason = _why_not(candidate, memory, metadata=has_user_metadata, order=has_order) if candidate else ""
        except PluginError as error:
            candidate, reason = None, str(error)
        if candidate:
            choices[name] = candidate.choices
        if reason:
            left_out[name] = reason
        elif candidate:
            found.append(candidate)
    if not found:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise ConfigError(f"There is nothing to compare ({reasons or 'a blend is made of other models'}).")
    blends = not only or BLEND in only
    return Contest(tuple(sorted(found, key=_expense)), left_out, choices, blends)


def _candidate(
    name: str, sizes: Sizes, training: TrainingConfig, speed: float, without_effect: frozenset[str]
) -> Candidate | None:
    """None for a model that is made of others."""
    entry = catalog.entry(name)
    config = entry.config()
    if any(isinstance(getattr(config, field.name), Part) for field in fields(config)):
        return None
    base = ModelSpec(name, config, suited(training, name))
    unused = without_effect | (frozenset() if base.may_take_metadata else OF_METADATA)
    space = {key: bounds for key, bounds in catalog.search_space(name).items() if key not in unused}
    number = TRAINED_DRAWS if base.is_trained_by_gradient else SOLVED_DRAWS
    cost = expected_cost(entry, config, sizes)
    return Candidate(base, ({}, *draw(space, number, training.seed)), cost, seconds_of(cost, speed))


def _why_not(candidate: Candidate, memory: float, *, metadata: bool, order: bool) -> str:
    base = candidate.base
    if base.may_take_metadata and not base.is_hybrid and not metadata:
        return "it learns from metadata of users, and the dataset declares none"
    if base.takes_order and not order:
        return "it goes by the order of histories, and the split has none"
    if candidate.cost and candidate.cost.n_bytes > memory:
        return f"it takes about {candidate.cost.n_bytes / 2**30:.1f} GiB of memory, and {memory / 2**30:.1f} are free"
    return ""


def _expense(candidate: Candidate) -> float:
    return float("inf") if candidate.seconds is None else candidate.seconds
