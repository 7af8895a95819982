"""Workloads: the sizes of a dataset, or of one that is only described."""

from typing import Final

import numpy as np
import polars as pl

from pipelines.dataset.directory import DatasetDir
from pipelines.dataset.splits import load_split
from pipelines.sizing.estimate import Workload
from recsys_vae.data.columns import ITEM, USER
from recsys_vae.models.cost import Sizes, together_by_chance

ZIPF: Final = 0.8
"""Popularity of items of whom nothing else is known."""
SPREAD: Final = 1.0
"""Standard deviation of the logarithm of users' activity, likewise."""


def of_dataset(name: str, split: str | None = None) -> Workload:
    """Of a dataset, or of the training part of one of its splits.

    Raises:
        UnknownNameError: there is no such dataset or split.
    """
    dataset = DatasetDir.open(name)
    rows = int(dataset.events().select(pl.len()).collect().item())
    if split is not None:
        return Workload(rows, Sizes.of(load_split(dataset, split).train.matrix))
    table = dataset.interactions()
    users, items = (
        table.group_by(one).agg(pl.len()).collect(engine="streaming")["len"].to_numpy() for one in (USER, ITEM)
    )
    return Workload(rows, Sizes.counted(users.astype(np.float64), items))


def of_numbers(users: int, items: int, events: int) -> Workload:
    """Of a log of such numbers, every row of another pair: as much as there can be."""
    spread = float(np.exp(SPREAD**2))  # of squares over the square of the mean, of a lognormal law
    popularity = np.arange(1, items + 1, dtype=np.float64) ** -ZIPF
    counts = np.minimum(events * popularity / popularity.sum(), users)
    products = spread * events**2 / users
    together = together_by_chance(events * spread**0.5, products, counts)
    return Workload(events, Sizes(users, items, min(events, round(counts.sum())), products, together))
