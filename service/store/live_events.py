"""Events of items that something was changed about, by hour: what lists without a user go by for those of them that no
bundle has counted. Of the latest events only: no index leads from an item to its events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from sqlalchemy import ColumnElement, and_, distinct, func, or_, select, true

from recsys_vae.data.signal_rules import ANY_KIND, SignalRules
from recsys_vae.protocols import Float32Array
from service.store.database import Database
from service.store.events import NOT_SAID
from service.store.tables import EVENTS, ITEMS

HOUR: Final = 3_600_000_000
"""Microseconds."""
LATEST: Final = 200_000
"""Events that are looked through."""


@dataclass(frozen=True)
class LiveEvents:
    """What the latest events say for items.

    Attributes:
        users: item -> how many users have an event that speaks for it.
        hours: item -> hours since 1970 in which there were such events, and how many.
    """

    users: Mapping[str, int] = field(default_factory=dict)
    hours: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)

    def n_users(self, item_ids: Sequence[str]) -> Float32Array:
        """Users of each item, shape (n,)."""
        return np.array([self.users.get(item_id, 0) for item_id in item_ids], dtype=np.float32)

    def between(self, item_ids: Sequence[str], begin: int, end: int | None = None) -> Float32Array:
        """Events of each item from a moment on, in microseconds since 1970, and before another one; shape (n,)."""
        first, last = begin // HOUR, np.inf if end is None else end // HOUR
        counts = [sum(n for hour, n in self.hours.get(item_id, ()) if first <= hour < last) for item_id in item_ids]
        return np.array(counts, dtype=np.float32)


def live_events(database: Database, rules: SignalRules) -> LiveEvents:
    """Count them.

    Args:
        database: of the store.
        rules: which events speak for an item.

    Raises:
        UnavailableError: the store does not answer.
    """
    newest = select(EVENTS.c.sequence).order_by(EVENTS.c.sequence.desc()).offset(LATEST).limit(1)
    item, hour = EVENTS.c.item_id, (EVENTS.c.timestamp // HOUR).label("hour")
    with database.reading() as connection:
        after: Any = connection.execute(newest).scalar() or 0
        counted = and_(EVENTS.c.sequence > after, item.in_(select(ITEMS.c.item_id)), _speaks_for(rules))
        by_users = select(item, func.count(distinct(EVENTS.c.user_id))).where(counted).group_by(item)
        by_hour = select(item, hour, func.count()).where(counted, EVENTS.c.timestamp.is_not(None)).group_by(item, hour)
        users = dict([tuple(row) for row in connection.execute(by_users)])
        hours: dict[str, list[tuple[int, int]]] = {}
        for item_id, one, n in connection.execute(by_hour):
            hours.setdefault(item_id, []).append((int(one), n))
    return LiveEvents(users, hours)


def _speaks_for(rules: SignalRules) -> ColumnElement[bool]:
    """Whether `rules.weight` of an event is above 0."""
    kind, value = EVENTS.c.event_type, EVENTS.c.weight
    factors = dict(rules.event_weights)
    has_other = not factors or ANY_KIND in factors
    other = factors.pop(ANY_KIND, 1.0) > 0
    positive = [name for name, factor in factors.items() if factor > 0]
    conditions: list[ColumnElement[bool]] = [value >= 0]
    if not has_other:
        conditions.append(or_(kind.is_(None), kind.in_(positive)))
    elif other:
        refused = [name for name in factors if name not in positive]
        conditions.append(or_(kind.is_(None), kind.not_in(refused)) if refused else true())
    else:
        conditions.append(kind.in_(positive))
    if rules.dislikes:
        conditions.append(or_(kind.is_(None), kind.not_in(rules.dislikes)))
    if rules.dislike_below is not None:
        conditions.append(or_(value == NOT_SAID, value >= rules.dislike_below))
    return and_(*conditions)
