"""Limits: what a challenger may cost, in one file. docs/lifecycle.md says how each is used."""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from recsys_vae.errors import ConfigError, UnknownNameError, fault_text
from recsys_vae.evaluation.metrics import ACCURACY, parse_metric

Verdict = Literal["refuse", "warn"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GuardRails(_Part):
    """Limits of what quality does not show; None: not checked. Those against the champion need one.

    Attributes:
        min_coverage: share of the items that so many lists could show at most.
        min_coverage_of_champion: the same as a share of the champion's.
        max_top_item: share of the lists that begin with the same item, among users with a history.
        max_top_item_rise: how much that share may lie above the champion's.
        max_by_popularity: share of the users with a history who are answered by popularity all the same.
        max_by_popularity_rise: how much that share may lie above the champion's.
        max_latency_ms: median time of an answer to one user, in milliseconds.
        max_latency_of_champion: the same as a multiple of the champion's, measured in turns with it.
        latency_floor_ms: below it no multiple counts.
        max_size_mb: of the bundle's files.
        max_size_of_champion: the same as a multiple of the champion's.
        size_floor_mb: below it no multiple counts.
        max_days_behind: how much earlier than the champion's data the challenger's may end.
    """

    min_coverage: float | None = Field(default=0.01, ge=0, le=1)
    min_coverage_of_champion: float | None = Field(default=0.5, ge=0)
    max_top_item: float | None = Field(default=0.5, ge=0, le=1)
    max_top_item_rise: float | None = Field(default=0.1, ge=0, le=1)
    max_by_popularity: float | None = Field(default=0.5, ge=0, le=1)
    max_by_popularity_rise: float | None = Field(default=0.05, ge=0, le=1)
    max_latency_ms: float | None = Field(default=None, gt=0)
    max_latency_of_champion: float | None = Field(default=2.0, gt=0)
    latency_floor_ms: float = Field(default=5.0, ge=0)
    max_size_mb: float | None = Field(default=None, gt=0)
    max_size_of_champion: float | None = Field(default=3.0, gt=0)
    size_floor_mb: float = Field(default=100.0, ge=0)
    max_days_behind: float | None = Field(default=7.0, ge=0)


class Limits(_Part):
    """What a challenger has to hold.

    Attributes:
        metrics: guarded, each of them on every slice; the first is the headline.
        tolerance: how much worse than the champion it may be over all users, as a share of the champion's value.
        slice_tolerance: the same on a slice.
        confidence: of the interval over all users; those of slices are wider, so that it holds for all together.
        resamples: of the bootstrap.
        require: over all users, `not-worse` than the tolerance, or `better` beyond chance.
        undecided: what happens where there is too little data to say over all users.
        undecided_slices: the same on a slice.
        min_users: below, no interval is made, and neither slice nor guard rail is judged.
        max_users: drawn from those who could be asked.
        history_groups: of users with a history, by its length.
        popularity_groups: of what should be found, by the item's popularity.
        segments: fields of the users' metadata whose values are slices; all categories and sets when None.
        max_segments: values of a field, the most frequent ones.
        guard_rails: what quality does not show.
    """

    metrics: tuple[str, ...] = ("ndcg@20",)
    tolerance: float = Field(default=0.03, ge=0, lt=1)
    slice_tolerance: float = Field(default=0.1, ge=0, lt=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=10_000, ge=1_000, le=1_000_000)
    require: Literal["not-worse", "better"] = "not-worse"
    undecided: Verdict = "refuse"
    undecided_slices: Verdict = "warn"
    min_users: int = Field(default=30, ge=2)
    max_users: int = Field(default=20_000, ge=2)
    history_groups: int = Field(default=3, ge=1, le=20)
    popularity_groups: int = Field(default=3, ge=1, le=20)
    segments: tuple[str, ...] | None = None
    max_segments: int = Field(default=10, ge=1, le=100)
    guard_rails: GuardRails = GuardRails()

    @field_validator("metrics")
    @classmethod
    def _of_single_users(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            parsed = [parse_metric(name) for name in names]
        except (ConfigError, UnknownNameError) as error:
            raise ValueError(str(error)) from error
        if not parsed or len(set(parsed)) < len(parsed):
            raise ValueError("name at least one metric, each once")
        for metric in parsed:
            if not isinstance(metric, ACCURACY) or metric.k is None or metric.k > 1000:
                raise ValueError(f"{metric.name} cannot be guarded: name one of lists up to 1,000, as in recall@20")
        return tuple(metric.name for metric in parsed)

    @property
    def depth(self) -> int:
        """Length of the lists that are asked for."""
        return max(metric.k or 1 for metric in map(parse_metric, self.metrics))


def read_limits(path: Path | None) -> Limits:
    """Limits of a TOML file, names as in `Limits`, guard rails in a table `[guard_rails]`; the defaults when None.

    Raises:
        ConfigError: the file is missing or no TOML, or a limit is unknown or out of its range.
    """
    if path is None:
        return Limits()
    try:
        return Limits.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The limits {path} cannot be read: {error}.") from error
    except ValidationError as error:
        raise ConfigError(f"The limits {path} do not hold: {'; '.join(map(_explain, error.errors()))}.") from None


def _explain(fault: object) -> str:
    assert isinstance(fault, dict)
    name = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        part = GuardRails if fault["loc"][0] == "guard_rails" else Limits
        return f"there is no {name}; known: {', '.join(part.model_fields)}"
    return f"{name}: {fault_text(fault)}, got {fault['input']!r}"
