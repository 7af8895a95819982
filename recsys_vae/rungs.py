"""Rungs: which tier answers a user, by how much is known. Chosen on validation, kept in the bundle's manifest.

posterior  the history, combined with the prior of the user's metadata
history    the history alone
content    the history alone, where all of it are items that nobody had touched: their vectors come from their content
prior      the prior of the user's metadata, through the decoder
segment    what is popular among users with the same metadata
popular    what is popular with everybody
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import ConfigError, UnknownNameError

POSTERIOR: Final = "posterior"
HISTORY: Final = "history"
CONTENT: Final = "content"
PRIOR: Final = "prior"
SEGMENT: Final = "segment"
POPULAR: Final = "popular"

TIERS = (POSTERIOR, HISTORY, CONTENT, PRIOR, SEGMENT, POPULAR)
"""From the top of the ladder to the ground."""
ENCODED = (POSTERIOR, HISTORY, CONTENT, PRIOR)
"""Tiers whose scores are the model's."""


@dataclass(frozen=True)
class Rung:
    """One step: from so many items in the history, this tier."""

    from_items: int
    tier: str

    def __post_init__(self) -> None:
        if self.tier not in TIERS:
            raise UnknownNameError("tier", self.tier, TIERS)


@dataclass(frozen=True)
class Rungs:
    """Which tier answers whom.

    Attributes:
        described: of users of whom metadata are known; ascending, the first from 0 items.
        bare: of users of whom none are; likewise.
        content: whether items that nobody had touched have vectors from their content.

    Raises:
        ConfigError: they do not begin at 0 or do not ascend.
    """

    described: tuple[Rung, ...] = (Rung(0, POPULAR), Rung(1, HISTORY))
    bare: tuple[Rung, ...] = (Rung(0, POPULAR), Rung(1, HISTORY))
    content: bool = False

    def __post_init__(self) -> None:
        for rungs in (self.described, self.bare):
            starts = [rung.from_items for rung in rungs]
            if starts[:1] != [0] or sorted(set(starts)) != starts:
                raise ConfigError(f"Rungs begin at 0 items and ascend; got {starts}.")

    def tiers(self, n_items: NDArray[np.integer], has_metadata: NDArray[np.bool_]) -> NDArray[np.str_]:
        """The tier of each user, shape (n,).

        Args:
            n_items: items in their histories, shape (n,).
            has_metadata: whether anything else is known, shape (n,).
        """
        return np.where(has_metadata, _reached(self.described, n_items), _reached(self.bare, n_items))

    @property
    def named(self) -> frozenset[str]:
        """Tiers that may answer."""
        content = {CONTENT} if self.content else set()
        return frozenset(rung.tier for rung in (*self.described, *self.bare)) | content

    def as_settings(self) -> dict[str, Any]:
        """Plain values, as a manifest keeps them."""
        named = {"described": self.described, "bare": self.bare}
        pairs = {name: [[rung.from_items, rung.tier] for rung in rungs] for name, rungs in named.items()}
        return {**pairs, "content": self.content}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Rungs":
        """Read what `as_settings` made; what is not there is the default, as in bundles that never chose.

        Raises:
            ConfigError: something else stands there.
        """
        try:
            rungs = {name: _read(settings[name]) for name in ("described", "bare") if name in settings}
            return cls(**rungs, content=bool(settings.get("content", False)))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"These are no rungs of a ladder: {settings}.") from error


def _reached(rungs: tuple[Rung, ...], n_items: NDArray[np.integer]) -> NDArray[np.str_]:
    starts = np.array([rung.from_items for rung in rungs])
    return np.array([rung.tier for rung in rungs])[np.searchsorted(starts, n_items, side="right") - 1]


def _read(pairs: Sequence[Sequence[Any]]) -> tuple[Rung, ...]:
    return tuple(Rung(int(start), tier) for start, tier in pairs)
