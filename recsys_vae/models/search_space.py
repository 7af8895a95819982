"""Search space: which settings of a model are worth tuning, and between what bounds.

A configuration says it itself, as `SEARCH_SPACE: ClassVar[SearchSpace]`, and `recsys tune` searches it. A name is that
of a field of the configuration, or of `training.config.TrainingConfig`; the bounds hold the default, so that a search
can begin there. A model whose settings all are fixed by its paper or its use has none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from recsys_vae.errors import ConfigError

Value = float | int | str | bool


def _check_bounds(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"A range needs finite bounds, the lower one first; got {low} and {high}.")
    if log and low <= 0:
        raise ConfigError(f"A range on a logarithmic scale begins above 0, got {low}.")


@dataclass(frozen=True)
class Real:
    """Numbers from `low` to `high`, both included; with `log`, as many below their geometric mean as above."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)

    def __contains__(self, value: Value) -> bool:
        return isinstance(value, float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Whole:
    """Whole numbers `low`, `low + step` ... up to `high`."""

    low: int
    high: int
    step: int = 1

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, log=False)
        if self.step < 1 or (self.high - self.low) % self.step:
            raise ConfigError(f"A step is at least 1 and leads from {self.low} to {self.high}; got {self.step}.")

    def __contains__(self, value: Value) -> bool:
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
            and (value - self.low) % self.step == 0
        )


@dataclass(frozen=True)
class OneOf:
    """One of a few values; no order among them is made use of."""

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if len(set(self.values)) < 2:
            raise ConfigError(f"A choice needs two different values, got {self.values}.")

    def __contains__(self, value: Value) -> bool:
        return value in self.values


Range = Real | Whole | OneOf
SearchSpace = Mapping[str, Range]

BY_GRADIENT: SearchSpace = {
    "learning_rate": Real(1e-4, 1e-2, log=True),
    "batch_size": OneOf((100, 200, 500, 1000)),
}
"""What every model that is trained by gradient shares; others add to it: `{**BY_GRADIENT, ...}`."""
