"""Confidence sequences: intervals that hold at all looks together, so that one may look as often as one likes.

Let an estimate have variance V, which shrinks while data come in. Were its error a Brownian motion in the information
1 / V, and the true value 0, then with probability 1 - alpha at no time at all

    |estimate|  >=  h(V) = sqrt( V (V + t^2) / t^2 * log( (V + t^2) / (V alpha^2) ) )

This is the mixture sequential probability ratio test with a normal mixture of standard deviation t over the true value
(Robbins, Annals of Mathematical Statistics 1970; Johari, Pekelis and Walsh, "Always Valid Inference", Operations
Research 2022; equation 14 of Howard, Ramdas, McAuliffe and Sekhon, Annals of Statistics 2021). With an estimated
variance it holds asymptotically, from a first look on that is late enough (Waudby-Smith, Arbour, Sinha, Kennedy and
Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 2024): hence the
least number of users. t only chooses where the interval is tight: it is about narrowest, compared with V, for
V = t^2 / 8.8 at alpha 0.05, where an effect of size t is about to be found.
"""

from enum import StrEnum

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class Verdict(StrEnum):
    """What a sequence says by now."""

    BETTER = "better"
    WORSE = "worse"
    OPEN = "open"


def half_widths(variances: Float64Array, alpha: float, scale: float) -> Float64Array:
    """Half of each interval, of any shape; infinite where a variance is, or is 0 or unknown.

    Args:
        variances: of the estimates.
        alpha: chance of leaving the true value out at any look.
        scale: standard deviation of the mixture, in the estimate's unit; chosen before anything is looked at.
    """
    known = np.isfinite(variances) & (variances > 0)
    v, t2 = np.where(known, variances, 1.0), scale**2
    found = np.sqrt(v * (v + t2) / t2 * np.log((v + t2) / (v * alpha**2)))
    return np.where(known, found, np.inf)


def crossings(values: Float64Array, halves: Float64Array, is_late_enough: BoolArray) -> npt.NDArray[np.int8]:
    """What the first interval without 0 says, along the last axis: 1 for above, -1 for below, 0 while there is none."""
    signs = np.where(is_late_enough & (np.abs(values) > halves), np.sign(np.nan_to_num(values)), 0).astype(np.int8)
    first = np.argmax(signs != 0, axis=-1)
    return np.take_along_axis(signs, np.expand_dims(first, -1), axis=-1)[..., 0]


def verdict(values: Float64Array, halves: Float64Array, is_late_enough: BoolArray) -> tuple[Verdict, int | None]:
    """What a sequence of looks says, and the place of the look that said it first; what comes later changes nothing."""
    if not len(values):
        return Verdict.OPEN, None
    decides = is_late_enough & (np.abs(values) > halves)
    sign = int(crossings(values, halves, is_late_enough))
    if sign == 0:
        return Verdict.OPEN, None
    return (Verdict.BETTER if sign > 0 else Verdict.WORSE), int(np.argmax(decides))
