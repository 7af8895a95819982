"""Weigh: the shares of the parts of a blend, chosen on validation.

Of two parts the weight of the second is searched on a grid. Of more, shares lie on a grid of the simplex, in steps of
1/UNITS: from equal shares on, whatever exchange of a few units between two parts helps most is made, until none does;
then of fewer units. A further part that ends without a share is left out.
"""

from itertools import permutations

from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models.blend import Blend

TENTHS = tuple(n / 10 for n in range(1, 10))
"""The first look."""
STEP = 0.05
"""How far from the best of them the second look lies, on either side."""
UNITS, STEPS = 20, (4, 2, 1)
"""Into how many parts the simplex is divided, and how many of them are exchanged."""


def choose_weight(blend: Blend, validation: HeldOut, metric: str) -> dict[float, float]:
    """Give a fitted blend the weight with the highest value of a metric, the smallest of several.

    Returns:
        The metric's value by weight, of all weights that were tried.
    """
    values = {weight: _value(blend, weight, validation, metric) for weight in TENTHS}
    best = max(values, key=lambda weight: values[weight])
    for weight in (round(best - STEP, 2), round(best + STEP, 2)):
        values[weight] = _value(blend, weight, validation, metric)
    blend.weigh(max(sorted(values), key=lambda weight: values[weight]))
    return values


def choose_shares(blend: Blend, validation: HeldOut, metric: str) -> dict[tuple[float, ...], float]:
    """Give a fitted blend of more than two parts the best shares that are found by a metric.

    Returns:
        The metric's value by shares, of all that were tried.
    """
    n = len(blend.parts)
    least = (1, 1, *(0 for _ in blend.more))  # the autoencoder and the linear part are there in any case
    tried: dict[tuple[int, ...], float] = {}

    def value(units: tuple[int, ...]) -> float:
        if units not in tried:
            blend.share_out([unit / UNITS for unit in units])
            tried[units] = evaluate(blend, validation, [metric]).means[metric]
        return tried[units]

    best = tuple(UNITS // n + (place < UNITS % n) for place in range(n))
    for step in STEPS:
        while True:
            moves = [_moved(best, giver, taker, step) for giver, taker in permutations(range(n), 2)]
            allowed = [units for units in moves if all(map(int.__ge__, units, least))]
            found = max(allowed, key=value, default=best)
            if value(found) <= value(best):
                break
            best = found
    blend.share_out([unit / UNITS for unit in best])
    blend.drop_idle()
    return {tuple(unit / UNITS for unit in units): found for units, found in tried.items()}


def _moved(units: tuple[int, ...], giver: int, taker: int, step: int) -> tuple[int, ...]:
    return tuple(unit - step * (place == giver) + step * (place == taker) for place, unit in enumerate(units))


def _value(blend: Blend, weight: float, validation: HeldOut, metric: str) -> float:
    blend.weigh(weight)
    return evaluate(blend, validation, [metric]).means[metric]
