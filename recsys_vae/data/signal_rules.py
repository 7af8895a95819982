"""Rules of signals: what an event says of a user's taste; plain values, read where no array is."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, get_args

from recsys_vae.errors import ConfigError

Keep = Literal["last", "first", "max", "sum"]
KEEPS: Final[tuple[Keep, ...]] = ("last", "first", "max", "sum")
Repeat = Literal["exclude", "allow", "only"]
"""What becomes of items that a user liked before: they stay away, may come back, or nothing else comes."""
REPEATS: Final[tuple[Repeat, ...]] = get_args(Repeat)
ANY_KIND = "*"
"""Kind that stands for every one without a weight of its own, and for none at all."""


@dataclass(frozen=True)
class SignalRules:
    """What events say of a user's taste.

    Attributes:
        dislikes: kinds of events that speak against an item.
        dislike_below: events whose value is below speak against an item, too; None where no value does.
        event_weights: pairs (kind, weight): what the value of an event of this kind is multiplied with; `*` is any kind
            without one. Without `*` other kinds say nothing, as ingest takes no rows of them, but that dislikes, and
            events of no kind, count as 1. Where there are no pairs every kind counts as 1.
        keep: which event stands for an item that occurs more than once; `sum` adds their weights up.
        half_life: days in which an event's weight halves; infinite where weights stay.

    Raises:
        ConfigError: a value is out of its range.
    """

    dislikes: tuple[str, ...] = ()
    dislike_below: float | None = None
    event_weights: tuple[tuple[str, float], ...] = ()
    keep: Keep = "last"
    half_life: float = math.inf

    def __post_init__(self) -> None:
        if self.keep not in KEEPS:
            raise ConfigError(f"keep is one of {', '.join(KEEPS)}; got {self.keep!r}.")
        if not self.half_life > 0:
            raise ConfigError(f"A half-life is a number of days above 0; got {self.half_life}.")
        if self.dislike_below is not None and not math.isfinite(self.dislike_below):
            raise ConfigError(f"The bound below which a value is a dislike is a number; got {self.dislike_below}.")

    @property
    def has_dislikes(self) -> bool:
        """Whether any event can speak against an item."""
        return bool(self.dislikes) or self.dislike_below is not None

    def knows(self, kind: str | None) -> bool:
        """Whether events of a kind say anything."""
        weights = dict(self.event_weights)
        return not weights or kind is None or kind in weights or ANY_KIND in weights or kind in self.dislikes

    def weight(self, kind: str | None, value: float) -> float:
        """Signed weight of one event, age apart: below 0 where it speaks against the item, 0 where it says nothing."""
        if not self.knows(kind):
            return 0.0
        weights = dict(self.event_weights)
        factor = weights.get(kind, weights.get(ANY_KIND, 1.0)) if kind is not None else weights.get(ANY_KIND, 1.0)
        is_dislike = kind in self.dislikes or (self.dislike_below is not None and value < self.dislike_below)
        return -factor * abs(value) if is_dislike or value < 0 else factor * value

    def described(self) -> dict[str, Any]:
        """As a manifest keeps it: plain values, and none of those that are as by default."""
        usual = SignalRules()
        found = {name: value for name, value in asdict(self).items() if value != getattr(usual, name)}
        if "event_weights" in found:
            found["event_weights"] = dict(self.event_weights)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}

    @classmethod
    def read(cls, described: Mapping[str, Any]) -> "SignalRules":
        """The rules that `described` gave.

        Raises:
            ConfigError: there is a name that this version does not know, or a value that no rule has.
        """
        names = {field.name for field in fields(cls)}
        if unknown := described.keys() - names:
            raise ConfigError(
                f"Rules of signals have no {min(unknown)!r}; expected some of {', '.join(sorted(names))}."
            )
        try:
            return cls(
                dislikes=tuple(map(str, described.get("dislikes", ()))),
                dislike_below=None if (bound := described.get("dislike_below")) is None else float(bound),
                event_weights=tuple((str(k), float(w)) for k, w in dict(described.get("event_weights", {})).items()),
                keep=described.get("keep", "last"),
                half_life=float(described.get("half_life", math.inf)),
            )
        except (TypeError, ValueError) as error:
            raise ConfigError(f"These are no rules of signals: {dict(described)} ({error}).") from error
