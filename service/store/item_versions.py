"""Items as they were: what was known of them after some change, of all changes that there have been since.

The table of items has what they are now. What a change puts an end to goes into another one, while lists that were
shown are kept: a version holds from the sequence that made it up to the one that ended it.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, delete, exists, insert, select

from recsys_vae.errors import DataError
from service import timestamps
from service.store.database import Database
from service.store.item_records import RECORD, LiveItem, item_of
from service.store.tables import IMPRESSIONS, ITEM_VERSIONS, ITEMS

HAS_LISTS: Final = select(exists(select(IMPRESSIONS.c.sequence)))
INSERT: Final = insert(ITEM_VERSIONS)


def keep(connection: Connection, ended: Iterable[tuple[LiveItem, int]]) -> None:
    """Keep what items were before they were changed, each with the sequence of that change; nothing without lists."""
    found = [(item, until) for item, until in ended if item.sequence]
    if not found or not connection.execute(HAS_LISTS).scalar():
        return
    now = timestamps.now()
    connection.execute(INSERT, [_row(item, until, now) for item, until in found])


def forget(connection: Connection, before: int, limit: int) -> int:
    """Forget some versions that ended before a moment, in microseconds since 1970; say how many."""
    some = select(ITEM_VERSIONS.c.sequence).where(ITEM_VERSIONS.c.ended_at < before).limit(limit)
    found = connection.execute(some).scalars().all()
    if found:
        connection.execute(delete(ITEM_VERSIONS).where(ITEM_VERSIONS.c.sequence.in_(found)))
    return len(found)


def items_as_of(database: Database, sequence: int) -> list[LiveItem]:
    """All items that something had been changed about, as they were after the change of a sequence.

    Raises:
        DataError: what one of them was is not kept.
        UnavailableError: the store does not answer.
    """
    former = select(ITEM_VERSIONS).where(ITEM_VERSIONS.c.sequence <= sequence, ITEM_VERSIONS.c.until > sequence)
    with database.reading() as connection:
        # In this order: what changes in between is found in both, and not in neither.
        found = [item_of(row) for row in connection.execute(select(ITEMS).where(ITEMS.c.number <= sequence))]
        past = {row.item_id: item_of(row) for row in connection.execute(former)}
    missing = [item.item_id for item in found if item.sequence > sequence and item.item_id not in past]
    if missing:
        raise DataError(
            f"{len(missing):,} items, {min(missing)!r} among them, have changed since, and what they were is not kept: "
            "it goes with the lists that are older than what `recsys clean-events` leaves, and is not kept before the "
            "first list that was shown."
        )
    return [item if item.sequence <= sequence else past[item.item_id] for item in found]


def _row(item: LiveItem, until: int, now: int) -> dict[str, object]:
    document = RECORD.dump_json(item.record).decode()
    return {
        "sequence": item.sequence,
        "until": until,
        "item_id": item.item_id,
        "number": item.number,
        "document": document,
        "ended_at": now,
    }
