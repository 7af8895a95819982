"""WorldSettings: how large a simulated shop is, and how its users behave."""

import math
from dataclasses import dataclass, fields
from datetime import date

from recsys_vae.errors import ConfigError
from recsys_vae.settings import setting

LARGEST = 1 << 31
"""Users and items are numbered by 32 bits."""
LARGEST_TABLE = 1 << 20
"""Tastes times days."""
SHARES = (
    "exploration", "taste_drift", "trend", "seasonality", "new_users", "new_items", "cart", "purchase", "reordered",
    "reorder_rate", "bots", "bad", "duplicates", "skewed", "metadata",
)  # fmt: skip
"""Settings from 0 to 1."""


@dataclass(frozen=True)
class WorldSettings:
    """All that decides a log, beside the form of its files. Equal settings are equal rows.

    Raises:
        ConfigError: a value out of its range, or more tastes than items.
    """

    users: int = setting(1000, "Users; some come later than others.")
    items: int = setting(500, "Items; some come later than others.")
    events: int = setting(50_000, "Rows, before dirt; exactly as many.")
    seed: int = setting(0, "Of everything.")
    days: int = setting(365, "Length of the log.")
    start: str = setting("2025-01-06", "First day (UTC), as YYYY-MM-DD.")
    tastes: int = setting(32, "Latent tastes: the rank of the truth.")
    zipf: float = setting(0.8, "Exponent of the popularity law: the item of rank r weighs r^-zipf.")
    concentration: float = setting(0.5, "Of the Dirichlet law of a user's tastes; less is more one-sided.")
    exploration: float = setting(0.15, "Share of views that no taste steers.")
    activity: float = setting(1.0, "Standard deviation of the logarithm of users' activity.")
    taste_drift: float = setting(0.3, "Share of a user's tastes that are others by the last day.")
    trend: float = setting(0.5, "How much items rise or fall in popularity over the log.")
    seasonality: float = setting(0.5, "How much items and traffic follow the time of the year.")
    new_users: float = setting(0.3, "Share of the users who come after the first day.")
    new_items: float = setting(0.2, "Share of the items that come after the first day.")
    session: float = setting(4.0, "Views in a session, on average.")
    cart: float = setting(0.2, "Share of views that lead to a cart, on average.")
    purchase: float = setting(0.4, "Share of carts that lead to a purchase, on average.")
    reordered: float = setting(0.4, "Share of the items that are used up and bought again.")
    reorder_rate: float = setting(0.5, "How likely such an item is to be bought once more, on average.")
    reorder_days: float = setting(30.0, "Days until then, on average; each item has its own.")
    bots: float = setting(0.002, "Share of the users who are programs: busy, tasteless, viewing only.")
    bot_activity: float = setting(10.0, "Rows of a bot, by those of a user.")
    bad: float = setting(0.0, "Rows beside the others that break the contract, by rows.")
    duplicates: float = setting(0.0, "Rows beside the others that are there already, by rows.")
    skewed: float = setting(0.0, "Share of the users whose clock is wrong.")
    metadata: float = setting(0.9, "How truly metadata tell the tastes of items and users; 0: not at all.")

    def __post_init__(self) -> None:
        for name in ("users", "items", "events", "days", "tastes"):
            if not 1 <= getattr(self, name) <= (LARGEST if name in ("users", "items") else 1 << 45):
                raise ConfigError(f"{name} is at least 1, and no more than can be numbered; got {getattr(self, name)}.")
        if not 0 <= self.seed < 1 << 63:
            raise ConfigError(f"seed is from 0 to 2^63 - 1, got {self.seed}.")
        if self.days > 20_000 or self.tastes > min(self.items, 4096) or self.tastes * self.days > LARGEST_TABLE:
            raise ConfigError(
                f"days is at most 20000, tastes at most 4096 and as many as there are items, one times the other at "
                f"most {LARGEST_TABLE}; got {self.days} and {self.tastes} of {self.items} items."
            )
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{one.name} is at least 0, got {value}.")
        for name in SHARES:
            if getattr(self, name) > 1:
                raise ConfigError(f"{name} is a share, from 0 to 1, got {getattr(self, name)}.")
        for name, least in (("concentration", 0.01), ("session", 1.0), ("reorder_days", 1.0), ("bot_activity", 0.01)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is at least {least:g}, got {getattr(self, name)}.")
        if self.zipf > 5 or self.activity > 4 or self.reorder_rate > 0.95:
            raise ConfigError("zipf is at most 5, activity at most 4, reorder_rate at most 0.95: beyond, rows are few.")
        try:
            date.fromisoformat(self.start)
        except ValueError as error:
            raise ConfigError(f"start is a day as YYYY-MM-DD, got {self.start!r}.") from error

    @property
    def first_second(self) -> int:
        """Beginning of the first day, in seconds of the Unix epoch."""
        return (date.fromisoformat(self.start) - date(1970, 1, 1)).days * 86_400
