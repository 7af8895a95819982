"""Settings of graph filters: what they mean is told in `models/graph_filter.py`."""

from dataclasses import dataclass
from typing import ClassVar

from recsys_vae.errors import ConfigError
from recsys_vae.models.entry import CLOSED_FORM, Traits
from recsys_vae.models.search_space import Real, SearchSpace, Whole
from recsys_vae.models.weighting import BY_WEIGHT, WeightOptions

SOLVERS = ("leading", "rk4")


@dataclass(frozen=True)
class GraphFilterConfig(WeightOptions):
    """Exponents and filters; the defaults are GF-CF's.

    Attributes:
        user_exponent: a, of the length of a history, in its normalisation.
        item_exponent: b, of the number of users of an item, likewise.
        popularity_exponent: q, of that number, as a factor of the linear filter's scores; divides the history's items.
        rank: number of leading eigenvectors.
        low_pass: alpha, weight of the ideal low-pass filter.
        sharpening: T, time of the sharpening.
        solver: of the sharpening; `leading`: exact, for the leading components of the linear filter; `rk4`: one step,
            for everything.
        neighbours: entries of each item that `rk4` keeps beside the leading components.
    """

    TRAITS: ClassVar[Traits] = CLOSED_FORM
    SEARCH_SPACE: ClassVar[SearchSpace] = {
        "user_exponent": Real(0.2, 0.8),
        "item_exponent": Real(0.2, 0.8),
        "popularity_exponent": Real(-0.4, 0.4),
        "rank": Whole(64, 512, step=64),
        "low_pass": Real(0.0, 1.0),
        "sharpening": Real(0.0, 3.0),
        **BY_WEIGHT,
    }

    user_exponent: float = 0.5
    item_exponent: float = 0.5
    popularity_exponent: float = 0.0
    rank: int = 256
    low_pass: float = 0.3
    sharpening: float = 0.0
    solver: str = "leading"
    neighbours: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1 or self.neighbours < 1:
            raise ConfigError(f"rank and neighbours are at least 1, got {self.rank} and {self.neighbours}.")
        if self.low_pass < 0 or self.sharpening < 0:
            raise ConfigError(
                f"low_pass and sharpening are at least 0, got {self.low_pass} and {self.sharpening}: 0 leaves them out."
            )
        if self.solver not in SOLVERS:
            raise ConfigError(f"solver is {' or '.join(SOLVERS)}, got {self.solver!r}.")
