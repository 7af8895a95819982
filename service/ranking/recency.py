"""Recency of users by their events, for second stages that go by it."""

from collections.abc import Iterable

import numpy as np

from recsys_vae.data.purchases import DAY
from recsys_vae.data.recency import Recency
from recsys_vae.data.signals import SignalRules
from service.store.user_history import UserEvents, liked_events


def recency_of(users: Iterable[tuple[UserEvents, int | None]], rules: SignalRules) -> Recency:
    """How long ago users were last there, by those of their events that speak for an item.

    Args:
        users: the events of each, and the day since 1970, UTC, that they are looked at from; None where not known.
        rules: what events say.
    """
    days = []
    for events, day in users:
        times = [time for time in liked_events(events, rules)[1] if time is not None]
        days.append((np.nan if day is None else day, max(times) // DAY if times and day is not None else np.nan))
    now, last = np.array(days, dtype=np.float64).reshape(-1, 2).T
    return Recency.of(now, last)
