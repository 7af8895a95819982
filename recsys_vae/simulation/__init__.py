"""Simulation: interaction logs whose law is known, so that what learns from them can be judged without their bias.

`World` is the law; `world.block(number)` draws the rows of some users; `world.click_probability(users, items, times)`
is the truth that they were drawn from.
"""

from recsys_vae.simulation.settings import WorldSettings
from recsys_vae.simulation.world import World

__all__ = ["World", "WorldSettings"]
