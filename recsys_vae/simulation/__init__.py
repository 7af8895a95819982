"""Simulation: interaction logs whose law is known, so that what learns from them can be judged without their bias.

`World` is the law; `world.block(number)` draws the rows of some users; `world.click_probability(users, items, times)`
is the truth that they were drawn from. It is imported when it is first asked for: settings are read without numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from recsys_vae.simulation.settings import WorldSettings

if TYPE_CHECKING:
    from recsys_vae.simulation.world import World

__all__ = ["World", "WorldSettings"]


def __getattr__(name: str) -> object:
    if name == "World":
        return import_module("recsys_vae.simulation.world").World
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
