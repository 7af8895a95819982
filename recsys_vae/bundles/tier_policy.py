"""Tier policy: which tier answers a user, by how much is known. Chosen on validation, kept in the bundle's manifest.

posterior  the history and the user's metadata
history    the history alone
content    the same as posterior, where all of the history are items that nobody had touched: their vectors come from
           their content
prior      the user's metadata alone, through the decoder
segment    what is popular among users with the same metadata
popular    what is popular with everybody

A threshold of the model may take segment popularity along, as a second opinion:

    p(i) ~ p_model(i) p_segment(i)^w,   so  score = s_i / T + w * (score of segment popularity)

where s are the model's own scores and T the temperature at which softmax(s / T) says best what users go on to: scores
of linear models are no log-probabilities, and popularity would swamp them. The logarithm of the softmax's denominator
is left out: it is the same for all items of a user. Without a weight nothing is divided: the order is the same.

Counting errs where a network does not; the less is known of a user, the more it is worth: w falls as histories grow.

Sources: logarithmic opinion pools: Heskes, Selecting Weighting Factors in Logarithmic Opinion Pools, NIPS 1997.
Temperature scaling: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recsys_vae.errors import ConfigError, UnknownNameError
from recsys_vae.settings import converted, with_plain_settings

POSTERIOR: Final = "posterior"
HISTORY: Final = "history"
CONTENT: Final = "content"
PRIOR: Final = "prior"
SEGMENT: Final = "segment"
POPULAR: Final = "popular"

TIERS = (POSTERIOR, HISTORY, CONTENT, PRIOR, SEGMENT, POPULAR)
"""From the top of the fallback chain to the ground."""
ENCODED = (POSTERIOR, HISTORY, CONTENT, PRIOR)
"""Tiers whose scores are the model's."""


@dataclass(frozen=True)
class TierThreshold:
    """One step: from so many items in the history, this tier.

    Attributes:
        from_items: length of the history.
        tier: that answers.
        weight: w, how much segment popularity counts beside the model's scores; 0 for other tiers.

    Raises:
        UnknownNameError: no such tier.
        ConfigError: a weight below 0, or one beside a tier that has no part of the model.
    """

    from_items: int
    tier: str
    weight: float = 0.0

    def __post_init__(self) -> None:
        if self.tier not in TIERS:
            raise UnknownNameError("tier", self.tier, TIERS)
        if not 0 <= self.weight < math.inf or (self.weight and self.tier not in ENCODED):
            raise ConfigError(
                f"The weight of segment popularity is at least 0, and stands beside a tier of the model "
                f"({', '.join(ENCODED)}); got {self.weight} beside {self.tier}."
            )


@dataclass(frozen=True)
class TierPolicy:
    """Which tier answers whom.

    Attributes:
        described: of users of whom metadata are known; ascending, the first from 0 items.
        bare: of users of whom none are; likewise.
        content: whether items that nobody had touched have vectors from their content.
        lift: what was added to the bias of these items to have them seen, in nats; users on the content tier, whose
            whole history are such items, do not need it, and get it taken off.
        temperature: T, what the model's scores are divided by before segment popularity is added; 1 for logits.

    Raises:
        ConfigError: they do not begin at 0 or do not ascend, the lift is not finite, or the temperature not above 0.
    """

    described: tuple[TierThreshold, ...] = (TierThreshold(0, POPULAR), TierThreshold(1, HISTORY))
    bare: tuple[TierThreshold, ...] = (TierThreshold(0, POPULAR), TierThreshold(1, HISTORY))
    content: bool = False
    lift: float = 0.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for policy in (self.described, self.bare):
            starts = [threshold.from_items for threshold in policy]
            if starts[:1] != [0] or sorted(set(starts)) != starts:
                raise ConfigError(f"Thresholds begin at 0 items and ascend; got {starts}.")

        if not math.isfinite(self.lift):
            raise ConfigError(f"The lift of new items is a finite number of nats, got {self.lift}.")
        if not 0 < self.temperature < math.inf:
            raise ConfigError(f"A temperature of scores is a finite number above 0, got {self.temperature}.")

    def tiers(self, n_items: NDArray[np.integer], has_metadata: NDArray[np.bool_]) -> NDArray[np.str_]:
        """The tier of each user, shape (n,).

        Args:
            n_items: items in their histories, shape (n,).
            has_metadata: whether anything else is known, shape (n,).
        """
        bare = _reached(self.bare, n_items, _tiers_of(self.bare))
        if not has_metadata.any():
            return bare
        return np.where(has_metadata, _reached(self.described, n_items, _tiers_of(self.described)), bare)

    def weights(self, n_items: NDArray[np.integer], has_metadata: NDArray[np.bool_]) -> NDArray[np.float32]:
        """How much segment popularity counts beside each user's tier, shape (n,); arguments as of `tiers`."""
        described, bare = _weights_of(self.described), _weights_of(self.bare)
        return np.where(has_metadata, _reached(self.described, n_items, described), _reached(self.bare, n_items, bare))

    @property
    def are_weighted(self) -> bool:
        """Whether segment popularity counts beside any tier."""
        return any(threshold.weight for threshold in (*self.described, *self.bare))

    @property
    def history_from(self) -> int | None:
        """Items from which on a history without metadata is answered by itself; None where some are not."""
        last = self.bare[-1]
        is_alone = last.tier == HISTORY and not self.content and not self.are_weighted
        return last.from_items if is_alone else None

    @property
    def named(self) -> frozenset[str]:
        """Tiers that may answer."""
        content = {CONTENT} if self.content else set()
        return frozenset(threshold.tier for threshold in (*self.described, *self.bare)) | content

    def as_settings(self) -> dict[str, Any]:
        """Plain values, as a manifest keeps them."""
        named = {"described": self.described, "bare": self.bare}
        steps = {name: [_written(threshold) for threshold in policy] for name, policy in named.items()}
        lift = {"lift": self.lift} if self.lift else {}
        temperature = {"temperature": self.temperature} if self.temperature != 1.0 else {}
        return {**steps, "content": self.content} | lift | temperature

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "TierPolicy":
        """Read what `as_settings` made; what is not there is the default, as in bundles that never chose.

        Raises:
            UnknownNameError: a name that `as_settings` does not write.
            ConfigError: something else stands there.
        """
        try:
            policy: dict[str, Any] = {name: _read(settings[name]) for name in ("described", "bare") if name in settings}
            rest = {name: value for name, value in settings.items() if name not in policy}
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"These are no thresholds of a tier policy: {settings}.") from error
        return with_plain_settings(cls(**policy), rest, of="a tier policy")


def _reached(policy: tuple[TierThreshold, ...], n_items: NDArray[np.integer], values: NDArray[Any]) -> NDArray[Any]:
    """The value of the threshold that each length reaches, of `values`, one a threshold."""
    starts = np.array([threshold.from_items for threshold in policy])
    reached: NDArray[Any] = values[np.searchsorted(starts, n_items, side="right") - 1]
    return reached


def _tiers_of(policy: tuple[TierThreshold, ...]) -> NDArray[np.str_]:
    return np.array([threshold.tier for threshold in policy])


def _weights_of(policy: tuple[TierThreshold, ...]) -> NDArray[np.float32]:
    return np.array([threshold.weight for threshold in policy], dtype=np.float32)


def _written(threshold: TierThreshold) -> list[Any]:
    return [threshold.from_items, threshold.tier, *((threshold.weight,) if threshold.weight else ())]


def _read(steps: Sequence[Sequence[Any]]) -> tuple[TierThreshold, ...]:
    return tuple(_read_threshold(*step) for step in steps)


def _read_threshold(from_items: Any, tier: Any, weight: Any = 0.0) -> TierThreshold:
    start = converted(0, from_items, "from_items of a threshold")
    return TierThreshold(
        start, converted("", tier, "tier of a threshold"), converted(0.0, weight, "weight of a threshold")
    )
