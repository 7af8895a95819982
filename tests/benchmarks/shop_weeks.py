"""A shop week by week: customers with tastes who come back, new ones and new products every week, as logs in CSV."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Shop:
    """How large the shop is, and how it grows.

    Attributes:
        users: customers at the start.
        items: products at the start, a few of whom are each taste's own.
        tastes: groups of products that are bought together.
        events: a week.
        new_users: share of the customers who come each week.
        new_items: likewise of the products.
        seed: of everything.
    """

    users: int = 600
    items: int = 200
    tastes: int = 8
    events: int = 3000
    new_users: float = 0.03
    new_items: float = 0.01
    seed: int = 0

    def week(self, number: int) -> pl.DataFrame:
        """The events of a week: user_id, item_id, timestamp in seconds; equal calls give equal weeks."""
        draw = np.random.default_rng([self.seed, number])
        n_users = int(self.users * (1 + self.new_users * number))
        n_items = int(self.items * (1 + self.new_items * number))
        users = draw.integers(0, n_users, self.events)
        taste = np.random.default_rng(self.seed).integers(0, self.tastes, 10 * self.users)[users]
        own = draw.random(self.events) < 0.8
        rank = np.minimum(draw.geometric(0.06, self.events) - 1, n_items // self.tastes - 1)
        items = np.where(own, rank * self.tastes + taste, draw.integers(0, n_items, self.events))
        seconds = np.sort(draw.integers(0, 7 * 86_400, self.events))
        start = int((BEGIN + timedelta(weeks=number)).timestamp())
        return pl.DataFrame(
            {
                "user_id": pl.Series(users).cast(pl.String),
                "item_id": pl.Series(items).cast(pl.String),
                "timestamp": start + seconds,
            }
        )

    def write(self, number: int, folder: Path) -> Path:
        """The same as `week-NN.csv`."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"week-{number:02}.csv"
        self.week(number).write_csv(path)
        return path
