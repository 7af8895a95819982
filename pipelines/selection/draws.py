"""Draws: a few choices of settings that are spread over a search space, the same ones each time."""

import math
from collections.abc import Mapping

import numpy as np

from recsys_vae.models.search_space import OneOf, Range, Real, SearchSpace, Value, Whole

Settings = Mapping[str, Value]


def draw(space: SearchSpace, number: int, seed: int) -> tuple[Settings, ...]:
    """So many choices; of each setting, one value from each of `number` equal parts of its range.

    Source: Latin hypercube sampling, McKay, Beckman & Conover (1979).
    """
    if not space or not number:
        return ()
    generator = np.random.default_rng(seed)
    parts = generator.permuted(np.tile(np.arange(number), (len(space), 1)), axis=1).T
    places = (parts + generator.random(parts.shape)) / number
    return tuple(
        {name: value_at(bounds, float(at)) for (name, bounds), at in zip(space.items(), row, strict=True)}
        for row in places
    )


def value_at(bounds: Range, place: float) -> Value:
    """The value at a place of a range, from 0 to below 1."""
    match bounds:
        case Real(low, high, log):
            return math.exp(math.log(low) + place * math.log(high / low)) if log else low + place * (high - low)
        case Whole(low, high, step):
            return low + step * int(place * ((high - low) // step + 1))
        case OneOf(values):
            return values[int(place * len(values))]
