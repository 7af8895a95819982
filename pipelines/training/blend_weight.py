"""Weigh: the share of the linear part of a blend, chosen on validation."""

from recsys_vae.evaluation.evaluate import evaluate
from recsys_vae.evaluation.splits import HeldOut
from recsys_vae.models.blend import Blend

TENTHS = tuple(n / 10 for n in range(1, 10))
"""The first look."""
STEP = 0.05
"""How far from the best of them the second look lies, on either side."""


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


def _value(blend: Blend, weight: float, validation: HeldOut, metric: str) -> float:
    blend.weigh(weight)
    return evaluate(blend, validation, [metric]).means[metric]
