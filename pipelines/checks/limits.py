"""Limits: from which value on a check warns, and from which it stops; one file of TOML."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.checks.profile import GAP_DAYS, RECENT_DAYS, TOP_ITEMS
from recsys_vae.atomic import write_atomically
from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.outputs import marked_product

MARK = "# Limits of `recsys check`"


@dataclass(frozen=True)
class Limit:
    """From these values on, both included, a check warns or stops; None: never.

    Raises:
        ConfigError: it would stop before it warns.
    """

    warn: float | None = None
    stop: float | None = None

    def __post_init__(self) -> None:
        if self.warn is not None and self.stop is not None and self.stop < self.warn:
            raise ConfigError(f"A check stops at {self.stop:g}, before it warns at {self.warn:g}: exchange them.")


CHECKS: dict[str, tuple[str, Limit]] = {
    "shrunk": ("share of the interactions by which the dataset is smaller than before", Limit(0.05, 0.3)),
    "volume_fall": (
        f"share by which the last {RECENT_DAYS} days hold fewer interactions than those of before",
        Limit(0.5, 0.9),
    ),
    "volume_rise": (f"times the interactions of the last {RECENT_DAYS} days are those of before", Limit(3.0, 10.0)),
    "new_users": ("share of users that are new (of a sample of 4,096)", Limit(0.5, 0.9)),
    "new_items": ("share of items that are new, likewise", Limit(0.3, 0.8)),
    "new_item_events": (
        f"share of the interactions of the last {RECENT_DAYS} days, with their {TOP_ITEMS:,} most popular items, whose "
        "item is new",
        Limit(0.3, 0.8),
    ),
    "lost_users": ("share of the users of before that are gone, likewise", Limit(0.2, 0.5)),
    "lost_items": ("share of the items of before that are gone, likewise", Limit(0.2, 0.5)),
    "duplicates_rise": ("share of rows that are duplicates, less that of before", Limit(0.1, 0.3)),
    "quarantined": ("share of the logs' rows that broke the contract", Limit(0.01, 0.1)),
    "quarantined_rise": ("the same, less that of before", Limit(0.005, 0.05)),
    # No stop: histories of a young shop grow fast, and what was never accepted is never compared with.
    "history_drift": ("drift of the lengths of histories: population stability index", Limit(0.25, None)),
    "popularity_drift": (
        f"drift of the popularity of items in the last {RECENT_DAYS} days (the {TOP_ITEMS:,} most popular, and all "
        "others): Jensen-Shannon distance, 0 to 1",
        Limit(0.4, 0.7),
    ),
    "columns_lost": ("columns of before that are gone, have no values or another type", Limit(None, 1)),
    "schema_changes": ("columns and event types that have come or gone", Limit(1, None)),
    "days_back": ("days by which the latest event lies before that of before", Limit(None, 1)),
    "gaps": (f"days without any event among the last {GAP_DAYS}", Limit(1, 7)),
    "future": ("share of interactions later than now", Limit(0.0001, 0.01)),
    "age": ("days since the latest event", Limit(None, None)),
}
"""Of each check what it measures, and its limits unless a file says otherwise."""


@dataclass(frozen=True)
class Limits:
    """Limits by the name of the check."""

    by_check: Mapping[str, Limit] = field(default_factory=lambda: {name: limit for name, (_, limit) in CHECKS.items()})

    @classmethod
    def read(cls, path: Path) -> "Limits":
        """Read a file: what it does not name has the limits that are usual.

        Raises:
            ConfigError: it is no such file.
            UnknownNameError: it names a check or a setting that there is not.
        """
        try:
            content = tomllib.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{path} cannot be read: {error}. A file of limits is made by recsys check --write-limits {path.name}."
            ) from error
        return cls({**cls().by_check, **{name: _limit(path, name, value) for name, value in content.items()}})


def write_limits(path: Path) -> None:
    """Write the usual limits, with what each is about.

    Raises:
        ConfigError: something else stands there.
    """
    lines = [
        f"{MARK}: from these values on, a check warns or stops.",
        "# A line that is left out or commented out keeps its usual limit; `false` switches it off.",
    ]
    for name, (about, limit) in CHECKS.items():
        lines += ["", f"# {about}", f"[{name}]"]
        lines += [f"{kind} = {_written(getattr(limit, kind))}" for kind in ("warn", "stop")]
    write_atomically(path, "\n".join(lines) + "\n", marked_product("a file of limits", MARK.encode()))


def _written(value: float | None) -> str:
    return "false" if value is None else f"{value:g}"


def _limit(path: Path, name: str, value: Any) -> Limit:
    if name not in CHECKS:
        raise UnknownNameError("check", name, CHECKS)
    usual = CHECKS[name][1]
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: {name} is {value!r}; expected [{name}] with warn and stop below it.")
    for kind in value:
        if kind not in ("warn", "stop"):
            raise UnknownNameError(f"setting of [{name}]", kind, ("warn", "stop"))
    return Limit(
        **{kind: _number(path, name, kind, value.get(kind, getattr(usual, kind))) for kind in ("warn", "stop")}
    )


def _number(path: Path, name: str, kind: str, value: Any) -> float | None:
    if value is None or value is False:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{path}: {kind} of [{name}] is {value!r}; expected a number, or false for never.")
    return float(value)
