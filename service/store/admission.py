"""Admission: which events of an import are taken. Their users must have been touched, so that they stay as they are."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from service.store.bulk_insert import COLUMNS, Row, drop_users
from service.store.erasures import CHUNK, tombstones
from service.store.identities import is_dataset
from service.store.tables import EVENTS

CONTENT = ("user_id", "item_id", "event_type", "timestamp")
"""What makes an event of one source the same as one of another; known times only."""
PLACES = tuple(COLUMNS.index(name) for name in CONTENT)
USER, TIMESTAMP = COLUMNS.index("user_id"), COLUMNS.index("timestamp")


def without_erased(connection: Connection, rows: Sequence[Row]) -> list[Row]:
    """Rows but for those of users who were erased; of users who came back, those of after the erasure stay."""
    buried = tombstones(connection, {row[USER] for row in rows})
    drop_users(connection, [user_id for user_id, tombstone in buried.items() if tombstone.returned_at is None])
    if not buried:
        return list(rows)
    return [row for row in rows if row[USER] not in buried or buried[row[USER]].admits_imported(row[TIMESTAMP])]


def without_sent(connection: Connection, rows: Sequence[Row]) -> list[Row]:
    """Rows of datasets but for events that were sent to the service, whose export the dataset was made from."""
    sent = _sent(connection, sorted({row[USER] for row in rows if row[TIMESTAMP] is not None}))
    if not sent:
        return list(rows)
    return [row for row in rows if tuple(row[place] for place in PLACES) not in sent]


def _sent(connection: Connection, user_ids: list[str]) -> set[tuple[Any, ...]]:
    query = select(EVENTS.c.source, *(EVENTS.c[name] for name in CONTENT)).where(EVENTS.c.timestamp.is_not(None))
    found = set()
    for start in range(0, len(user_ids), CHUNK):
        rows = connection.execute(query.where(EVENTS.c.user_id.in_(user_ids[start : start + CHUNK])))
        found |= {tuple(content) for source, *content in rows if not is_dataset(source)}
    return found
