"""Calendar: when a shop is visited, and which items are in season."""

import numpy as np
from numpy.typing import NDArray

from recsys_vae.simulation.settings import WorldSettings

DAY, HOUR = 86_400, 3600
YEAR = 365.25
OF_A_WEEK = np.array([0.95, 0.92, 0.95, 1.0, 1.1, 1.15, 1.05])
"""Traffic, Monday to Sunday."""
OF_A_DAY = np.array([2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 8, 8, 9, 8, 7, 7, 8, 9, 11, 13, 14, 12, 8, 4], dtype=float)
"""Traffic by hour."""
SEASONS, TRENDS = 5, 3
GROUPS = SEASONS * TRENDS
"""Items are of a season (four, or none) and of a trend (falling, steady, rising)."""
SWING = 0.8
"""Largest part of an item's weight that the time of the year takes."""


class Calendar:
    """Times and days of a world.

    Attributes:
        lifts: weight of each group of items by day, over that of the heaviest, shape (GROUPS, days).
    """

    def __init__(self, settings: WorldSettings) -> None:
        self.settings = settings
        days = np.arange(settings.days)
        first_day = settings.first_second // DAY
        of_year = 2 * np.pi * ((first_day + days) % YEAR) / YEAR
        traffic = OF_A_WEEK[(first_day + 3 + days) % 7] * (1 + 0.3 * settings.seasonality * np.cos(of_year))
        hours = (traffic[:, None] * OF_A_DAY).ravel()
        self._seconds = np.arange(len(hours) + 1, dtype=np.float64) * HOUR
        self._passed = np.concatenate([[0.0], np.cumsum(hours)]) / hours.sum()
        phases = np.arange(SEASONS - 1) * (2 * np.pi / (SEASONS - 1))
        seasons = np.ones((SEASONS, settings.days))
        seasons[1:] += SWING * settings.seasonality * np.cos(of_year - phases[:, None])
        slopes = 2 * settings.trend * np.arange(-1, TRENDS - 1)
        trends = np.exp(slopes[:, None] * ((days + 0.5) / settings.days - 0.5))
        lifts = (seasons[:, None] * trends).reshape(GROUPS, settings.days)
        self.lifts = np.asarray(lifts / lifts.max(axis=0))

    def seconds(self, passed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Seconds since the beginning at which these shares of all traffic have passed."""
        return np.asarray(np.interp(passed, self._passed, self._seconds))

    def days(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of the day of seconds of the Unix epoch; those outside count as the first and the last day."""
        found: NDArray[np.int64] = ((times - self.settings.first_second) // DAY).clip(0, self.settings.days - 1)
        return found
