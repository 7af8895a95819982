"""Items in the record of what was shown: which lists held one, and how many lists held each. Of the latest lists only.

The record may hold many millions of lists, and no index leads from an item to them: so those that were written down
last are looked through, in the database.
"""

import json
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, func, select, text

from service.store.database import Database
from service.store.tables import IMPRESSIONS

LISTS: Final = 10_000
"""Lists that are looked through."""
DAY: Final = 86_400 * 1_000_000
# What the needle finds is looked at closely: an id may hold what stands between two others.
_HOLDS: Final = {
    "sqlite": "instr(items, :needle) > 0 AND EXISTS (SELECT 1 FROM json_each(items) WHERE value = :item)",
    "postgresql": "strpos(items, :needle) > 0 AND jsonb_exists(items::jsonb, :item)",
}
_EACH: Final = {
    "sqlite": "json_each(exposures.items) AS one",
    "postgresql": "jsonb_array_elements_text(exposures.items::jsonb) AS one(value)",
}


class Looked(NamedTuple):
    """Which lists were looked through.

    Attributes:
        lists: how many.
        since: when the oldest was answered, in microseconds since 1970, UTC; None where there is none.
    """

    lists: int
    since: int | None


class ShownOn(NamedTuple):
    """Lists that held an item: on a day since 1970, by a variant; how many, and to how many users with a name."""

    day: int
    variant: str
    lists: int
    users: int


class ShownItem(NamedTuple):
    """What the record says of an item: by day and variant, oldest first; and who had it last, with when."""

    looked: Looked
    days: tuple[ShownOn, ...]
    users: tuple[tuple[str, int], ...]


def shown_item(database: Database, item_id: str, n_users: int) -> ShownItem:
    """Where an item was shown.

    Args:
        database: of the record.
        item_id: of the item.
        n_users: how many of those who had it last are named.

    Raises:
        UnavailableError: the store does not answer.
    """
    with database.reading() as connection:
        after, looked = _looked(connection)
        told = {"after": after, "needle": json.dumps(item_id), "item": item_id, "day": DAY, "n": n_users}
        held = f"FROM exposures WHERE sequence > :after AND {_HOLDS[connection.dialect.name]}"
        by_day = text(
            f"SELECT answered_at / :day AS day, variant, count(*), count(DISTINCT user_id) {held} "
            "GROUP BY 1, 2 ORDER BY 1, 2"
        )
        last = text(
            f"SELECT user_id, max(answered_at) AS at {held} AND user_id IS NOT NULL "
            "GROUP BY user_id ORDER BY at DESC, user_id LIMIT :n"
        )
        days = tuple(ShownOn(*row) for row in connection.execute(by_day, told))
        return ShownItem(looked, days, tuple((user, at) for user, at in connection.execute(last, told)))


def shown_items(database: Database) -> tuple[Looked, dict[str, int]]:
    """How many lists held each item that any of them held.

    Raises:
        UnavailableError: the store does not answer.
    """
    with database.reading() as connection:
        after, looked = _looked(connection)
        each = _EACH[connection.dialect.name]
        query = text(f"SELECT one.value, count(*) FROM exposures, {each} WHERE sequence > :after GROUP BY one.value")
        return looked, dict([tuple(row) for row in connection.execute(query, {"after": after})])


def _looked(connection: Connection) -> tuple[int, Looked]:
    """The sequence after which lists are looked through, and which these are."""
    sequence = IMPRESSIONS.c.sequence
    newest = select(sequence).order_by(sequence.desc()).offset(LISTS).limit(1)
    after: Any = connection.execute(newest).scalar() or 0
    query = select(func.count(), func.min(IMPRESSIONS.c.answered_at)).where(sequence > after)
    return after, Looked(*connection.execute(query).one())
