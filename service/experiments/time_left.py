"""How long a live test is likely to run still, from how its intervals have narrowed.

Half of an interval grows with the variance V of the estimate alone (`confidence_sequence`), and V shrinks as 1 / days
while as many users come a day. So if V was seen at the end of day d, an effect as large as h(V') is found about on day

    d V / V'

It is a likely time, not a promise: the estimate itself moves, and users who come back add less than new ones.
"""

from math import ceil, inf, isfinite, log
from typing import Final

import numpy as np

from service.experiments.confidence_sequence import half_widths

STEPS: Final = 200
WIDEST: Final = 1e12


def days_left(day: int, half: float, effect: float, alpha: float, scale: float) -> int | None:
    """Days until an effect is likely to be found; None where nothing tells.

    Args:
        day: that has ended, from 1.
        half: of the interval at its end.
        effect: size of the relative difference that is to be found.
        alpha: of the plan.
        scale: that the sequence was tuned for, as in `half_widths`.
    """
    if not isfinite(half) or half <= 0 or effect <= 0 or day < 1:
        return None
    if half <= effect:
        return 0
    days = day * variance_of(half, alpha, scale) / variance_of(effect, alpha, scale)
    return max(0, ceil(days - day)) if days < inf else None


def variance_of(half: float, alpha: float, scale: float) -> float:
    """The variance at which half of an interval is so wide, by bisection on its logarithm."""
    low, high = log(half**2 / WIDEST), log(half**2 * WIDEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        [found] = half_widths(np.exp([middle]), alpha, scale)
        low, high = (middle, high) if found < half else (low, middle)
    return float(np.exp(low))
