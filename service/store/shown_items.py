"""Items in the record of what was shown: how many lists held each, by day and variant, and who had one last.

The record may hold many millions of lists, and nothing leads from an item to them. So lists are counted when they are
written: a row for each item, day and variant. These counts name nobody. They stay when a user is erased, and go with
the lists of their day when old ones are removed.
"""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Table, TextClause, delete, func, select, text

from service.store.bulk_insert import INSERTS
from service.store.database import Database
from service.store.tables import IMPRESSIONS, LISTS_BY_DAY, SHOWN_BY_DAY

LISTS: Final = 10_000
"""Latest lists that are looked through for who had an item last."""
DAYS: Final = 60
"""Up to the latest day with lists, over which they are counted."""
DAY: Final = 86_400 * 1_000_000
# What the needle finds is looked at closely: an id may hold what stands between two others.
_HOLDS: Final = {
    "sqlite": "instr(items, :needle) > 0 AND EXISTS (SELECT 1 FROM json_each(items) WHERE value = :item)",
    "postgresql": "strpos(items, :needle) > 0 AND jsonb_exists(items::jsonb, :item)",
}


class Counted(NamedTuple):
    """Which lists were counted.

    Attributes:
        lists: how many.
        since: the first of their days, since 1970; None where there is none.
        until: the day after the last one.
    """

    lists: int = 0
    since: int | None = None
    until: int = 0


class ShownOn(NamedTuple):
    """Lists that held an item: on a day since 1970, by a variant; how many."""

    day: int
    variant: str
    lists: int


class ShownItem(NamedTuple):
    """What the record says of an item: by day and variant, oldest first; and who had it last, with when."""

    counted: Counted
    days: tuple[ShownOn, ...]
    users: tuple[tuple[str, int], ...]


def count_lists(connection: Connection, lists: Iterable[tuple[int, str, Iterable[str]]]) -> None:
    """Count lists that are written within this transaction: when each was answered, by which variant, and its items."""
    of_items, of_lists = Counter[tuple[int, str, str]](), Counter[tuple[int, str]]()
    for answered_at, variant, items in lists:
        day = answered_at // DAY
        of_lists[day, variant] += 1
        of_items.update((day, item_id, variant) for item_id in items)
    _add(connection, LISTS_BY_DAY, of_lists)
    _add(connection, SHOWN_BY_DAY, of_items)


def forget_days(connection: Connection, before: int) -> None:
    """Forget counts of days that ended before a moment, in microseconds since 1970."""
    for table in (SHOWN_BY_DAY, LISTS_BY_DAY):
        connection.execute(delete(table).where(table.c.day < before // DAY))


def shown_item(database: Database, item_id: str, n_users: int) -> ShownItem:
    """Where an item was shown.

    Args:
        database: of the record.
        item_id: of the item.
        n_users: how many of those who had it last are named.

    Raises:
        UnavailableError: the store does not answer.
    """
    columns = SHOWN_BY_DAY.c
    with database.reading() as connection:
        counted = _counted(connection)
        days = range(counted.since or 0, counted.until)
        by_day = select(columns.day, columns.variant, columns.lists).where(
            columns.day.in_(days), columns.item_id == item_id
        )
        held = f"FROM exposures WHERE sequence > :after AND {_HOLDS[connection.dialect.name]}"
        last = text(
            f"SELECT user_id, max(answered_at) AS at {held} AND user_id IS NOT NULL "
            "GROUP BY user_id ORDER BY at DESC, user_id LIMIT :n"
        )
        newest = select(IMPRESSIONS.c.sequence).order_by(IMPRESSIONS.c.sequence.desc()).offset(LISTS).limit(1)
        told = {"needle": json.dumps(item_id), "item": item_id, "n": n_users}
        told["after"] = connection.execute(newest).scalar() or 0
        found = tuple(ShownOn(*row) for row in connection.execute(by_day.order_by(columns.day, columns.variant)))
        return ShownItem(counted, found, tuple((user, at) for user, at in connection.execute(last, told)))


def shown_items(database: Database) -> tuple[Counted, dict[str, int]]:
    """How many lists held each item that any of them held.

    Raises:
        UnavailableError: the store does not answer.
    """
    columns = SHOWN_BY_DAY.c
    with database.reading() as connection:
        counted = _counted(connection)
        query = select(columns.item_id, func.sum(columns.lists)).where(columns.day >= (counted.since or 0))
        found = connection.execute(query.group_by(columns.item_id))
        return counted, {item_id: int(lists) for item_id, lists in found}


def _counted(connection: Connection) -> Counted:
    day, lists = LISTS_BY_DAY.c.day, LISTS_BY_DAY.c.lists
    last = connection.execute(select(func.max(day))).scalar()
    if last is None:
        return Counted()
    query = select(func.sum(lists), func.min(day)).where(day > last - DAYS)
    found, since = connection.execute(query).one()
    return Counted(int(found), since, last + 1)


def _add(connection: Connection, table: Table, counts: Counter[Any]) -> None:
    """Add to counts, in the order of their keys: two transactions with some in common do not wait for each other."""
    if not counts:
        return
    keys, ordered = [column.name for column in table.primary_key], sorted(counts.items())
    if connection.dialect.name == "sqlite":
        connection.execute(_added(table.name, keys), {"rows": json.dumps([(*key, n) for key, n in ordered])})
        return
    insert = INSERTS[connection.dialect.name](table)
    added = {"lists": table.c.lists + insert.excluded.lists}
    rows = [dict(zip(keys, key, strict=True)) | {"lists": n} for key, n in ordered]
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=added), rows)


def _added(table: str, keys: list[str]) -> TextClause:
    """The same in SQLite, which takes all rows as one text, read without Python's interpreter."""
    columns, places = ", ".join(keys), range(len(keys) + 1)
    values = ", ".join(f"json_extract(value, '$[{place}]')" for place in places)
    return text(
        f"INSERT INTO {table} ({columns}, lists) SELECT {values} FROM json_each(:rows) WHERE true "
        f"ON CONFLICT ({columns}) DO UPDATE SET lists = {table}.lists + excluded.lists"
    )
