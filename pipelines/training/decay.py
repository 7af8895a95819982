"""Decay: interactions count less the older they are, for popularity."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
from scipy.sparse import csr_array

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.matrices import encode
from recsys_vae.data.columns import ITEM, TIMESTAMP, USER, WEIGHT
from recsys_vae.data.interactions import Interactions
from recsys_vae.errors import ConfigError
from recsys_vae.evaluation import entries

NOW = 0.99
"""Quantile of the times that ages are counted from by default: few rows of the year 2099 do not make all others old."""
LEAST = 1e-6
"""Weight that no age goes below."""


@dataclass(frozen=True)
class Decay:
    """How interactions lose weight.

    Attributes:
        half_life: days in which a weight halves; infinite where weights stay.
        now: moment that ages are counted from; the 99 % quantile of the times when None. What is later counts in full.
        before: only events before this moment, in microseconds since 1970, are looked at: those that a part of a
            `temporal` split has learned from. All when None.

    Raises:
        ConfigError: the half-life is not above 0, or there is a moment and no half-life.
    """

    half_life: float = math.inf
    now: datetime | None = None
    before: int | None = None

    def __post_init__(self) -> None:
        if not self.half_life > 0:
            raise ConfigError(f"A half-life is a number of days above 0; got {self.half_life}.")
        if self.now is not None and self.now.tzinfo is None:
            object.__setattr__(self, "now", self.now.replace(tzinfo=UTC))

    @property
    def is_none(self) -> bool:
        """Whether weights stay."""
        return self.half_life == math.inf

    @property
    def described(self) -> dict[str, float | str | None]:
        """As a manifest keeps it; empty where weights stay."""
        if self.is_none:
            return {}
        return {"half_life": self.half_life, "now": self.moment}

    @property
    def moment(self) -> str | None:
        """The moment that ages are counted from, where one is named, in ISO 8601."""
        return None if self.now is None else self.now.isoformat()

    def events(self, dataset: DatasetDir) -> pl.LazyFrame:
        """The events that are looked at."""
        everything = dataset.events()
        if self.before is None:
            return everything
        return everything.filter((pl.col(TIMESTAMP).dt.epoch("us") < self.before).fill_null(value=True))


NO_DECAY = Decay()
"""Weights stay."""


def decayed(dataset: DatasetDir, learned_from: Interactions, decay: Decay) -> csr_array:
    """The training interactions, weighed by the age of their latest event; the oldest weight where that is not known.

    Raises:
        ConfigError: no interaction has a time.
    """
    time = pl.col(TIMESTAMP)
    latest = decay.events(dataset).group_by(USER, ITEM).agg(time.max())
    oldest, usual = (
        latest.select(time.min().alias("oldest"), time.quantile(NOW, "lower").alias("now"))
        .collect(engine="streaming")
        .row(0)
    )
    if oldest is None:
        raise ConfigError("A half-life needs times, and no interaction of this dataset has one. Leave --half-life out.")
    days = (pl.lit(decay.now or usual) - time.fill_null(oldest)).dt.total_seconds().clip(lower_bound=0) / 86_400
    weight = (0.5 ** (days / decay.half_life)).clip(lower_bound=LEAST).cast(pl.Float32)
    found = encode(latest.with_columns(weight.alias(WEIGHT)), learned_from.users, learned_from.items).matrix
    return entries.pick(found, entries.contains(learned_from.matrix, entries.entry_keys(found)))


def say_what_is_later(dataset: DatasetDir, decay: Decay) -> str:
    """What to say of events after `decay.now`, or else after this day; empty where there are none."""
    moment, time = decay.now or datetime.now(UTC), pl.col(TIMESTAMP)
    later = decay.events(dataset).filter(time > pl.lit(moment))
    number, latest = later.select(pl.len(), time.max()).collect(engine="streaming").row(0)
    if not number:
        return ""
    verb = "event lies" if number == 1 else "events lie"
    return (
        f"{number:,} {verb} after {moment:%Y-%m-%d}, the latest on {latest:%Y-%m-%d}: for popularity they count in "
        "full. If they are mistakes, ingest with --until."
    )
