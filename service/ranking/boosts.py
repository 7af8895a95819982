"""Boosts: scores of chosen items multiplied or added to, before anything is ranked."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from recsys_vae.protocols import Float32Array
from service.ranking.filters import Condition

LARGEST = 1e37
"""Of a boosted score; differences of two such are still float32."""


@dataclass(frozen=True)
class Boost:
    """One boost.

    Attributes:
        by: how.
        value: a factor > 0, or what is added.
        where: the items that fit this; or else
        items: these item ids.
    """

    by: Literal["multiply", "add"]
    value: float
    where: Condition | None = None
    items: tuple[str, ...] = ()


def apply(scores: Float32Array, by: str, value: float, chosen: np.ndarray) -> None:
    """Boost scores, shape (n_items,), in place; `chosen` are flags or rows.

    A factor above 1 always moves an item up: scores below 0, as those of log-probabilities are, are divided by it. No
    score goes beyond `LARGEST`, however many boosts there are: an answer has numbers, and neither infinity nor null.
    """
    before = scores[chosen].astype(np.float64)
    boosted = before + value if by == "add" else np.where(before < 0, before / value, before * value)
    scores[chosen] = boosted.clip(-LARGEST, LARGEST)
