"""Events of one item by day."""

from typing import NamedTuple

from sqlalchemy import func, select

from service.store.database import Database
from service.store.shown_items import DAY
from service.store.tables import EVENTS


class ItemEvents(NamedTuple):
    """What the store holds of an item.

    Attributes:
        days: day since 1970 -> events on it.
        undated: events without a time.
    """

    days: dict[int, int]
    undated: int


def item_events(database: Database, item_id: str) -> ItemEvents:
    """Events of an item, day by day.

    Raises:
        UnavailableError: the store does not answer.
    """
    day = (EVENTS.c.timestamp // DAY).label("day")
    query = select(day, func.count()).where(EVENTS.c.item_id == item_id).group_by(day).order_by(day)
    with database.reading() as connection:
        found = dict([tuple(row) for row in connection.execute(query)])
    undated = found.pop(None, 0)
    return ItemEvents(found, undated)
