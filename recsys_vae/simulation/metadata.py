"""Metadata: what a shop would know of its items and users, some of it about their tastes.

With probability `metadata` a category is that of the item's home taste, a brand one of its taste's, an interest the
user's strongest early taste; else any. Prices and ages lie around means of these. A device tells nothing.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from recsys_vae.simulation.settings import WorldSettings
from recsys_vae.simulation.streams import Stream, stream
from recsys_vae.simulation.world import World

BRANDS: Final = 8
"""Of a taste."""
DEVICES: Final = 3
OF_ITEMS: Final = (1 << 40) - 1
"""In the place of a block's number."""


def item_metadata(world: World) -> dict[str, NDArray[np.generic]]:
    """Columns of the items, each of shape (items,): category, brand, price, and the day on which an item came."""
    settings, shop = world.settings, world.catalogue
    draw = stream(settings.seed, Stream.METADATA, OF_ITEMS)
    home = shop.tastes[:, 0].astype(np.int64)
    category, of_brand = (_told(draw, settings, home) for _ in range(2))
    brand = of_brand * BRANDS + draw.integers(0, BRANDS, len(home))
    level = draw.normal(3, 0.8, settings.tastes)
    price = np.exp(level[category] + 0.4 * draw.standard_normal(len(home))).round(2)
    return {"category": category, "brand": brand, "price": price, "day": shop.arrivals}


def user_metadata(world: World, block: int) -> dict[str, NDArray[np.generic]]:
    """Columns of the users of a block, each of shape (n,): interest, age, device."""
    settings, users = world.settings, world.users(block)
    draw = stream(settings.seed, Stream.METADATA, block)
    strongest = users.shares[:, 0].argmax(axis=1)
    taste = users.tastes[np.arange(len(strongest)), 0, strongest].astype(np.int64)
    interest = _told(draw, settings, taste)
    means = stream(settings.seed, Stream.METADATA, OF_ITEMS - 1).uniform(22, 65, settings.tastes)
    age = (means[interest] + 6 * draw.standard_normal(len(taste))).clip(16, 95).astype(np.int64)
    return {"interest": interest, "age": age, "device": draw.integers(0, DEVICES, len(taste))}


def _told(draw: np.random.Generator, settings: WorldSettings, taste: NDArray[np.int64]) -> NDArray[np.int64]:
    true = draw.random(len(taste)) < settings.metadata
    return np.where(true, taste, draw.integers(0, settings.tastes, len(taste)))
