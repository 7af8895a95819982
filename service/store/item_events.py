"""Events of one item by day, of the latest events only: no index leads from an item to its events."""

from typing import Final, NamedTuple

from sqlalchemy import text

from service.store.database import Database
from service.store.shown_items import DAY

EVENTS: Final = 200_000
"""Events that are looked through."""


class ItemEvents(NamedTuple):
    """What the latest events say of an item.

    Attributes:
        looked: events that were looked through.
        days: day since 1970 -> events on it.
        undated: events without a time.
    """

    looked: int
    days: dict[int, int]
    undated: int


def item_events(database: Database, item_id: str) -> ItemEvents:
    """Events of an item, day by day.

    Raises:
        UnavailableError: the store does not answer.
    """
    newest = text("SELECT sequence FROM events ORDER BY sequence DESC LIMIT 1 OFFSET :n")
    counted = text("SELECT count(*) FROM events WHERE sequence > :after")
    by_day = text(
        "SELECT timestamp / :day AS day, count(*) FROM events WHERE sequence > :after AND item_id = :item "
        "GROUP BY 1 ORDER BY 1"
    )
    with database.reading() as connection:
        after = connection.execute(newest, {"n": EVENTS}).scalar() or 0
        looked = connection.execute(counted, {"after": after}).scalar_one()
        rows = connection.execute(by_day, {"after": after, "item": item_id, "day": DAY})
        found = dict([tuple(row) for row in rows])
    undated = found.pop(None, 0)
    return ItemEvents(looked, found, undated)
