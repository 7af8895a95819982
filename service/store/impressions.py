"""Exposures: which list was shown to whom, by which variant; written in batches, some time after the answers."""

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, text

from service import timestamps
from service.store.bulk_insert import INSERTS
from service.store.database import Database
from service.store.tables import ERASURES, EVENTS, IMPRESSIONS

LONGEST_WAIT_SECONDS = 300
"""An exposure that could not be written for so long is given up."""
ERASURES_KEPT_SECONDS = 2 * LONGEST_WAIT_SECONDS
"""So that whatever still waits in any process, whose clock may differ, finds the erasure of its user."""
MICROSECONDS = 1_000_000
LOCK = 0x7265_6373_7973_01
"""Of PostgreSQL's advisory locks: shared by those who write exposures, exclusive to those who erase a user's."""
CHUNK = 500


class Impression(NamedTuple):
    """A list that was answered.

    Attributes:
        request_id: of the request.
        user_id: whom it was for; None where the request named nobody.
        variant: that answered.
        model_version: of its bundle.
        is_dealt: whether the variant was assigned, and not chosen by the caller.
        items: ids, best first.
        answered_at: in microseconds since 1970, UTC.
    """

    request_id: str
    user_id: str | None
    variant: str
    model_version: str
    is_dealt: bool
    items: tuple[str, ...]
    answered_at: int


class HeldExposure(NamedTuple):
    """An exposure as it is held; attributes as those of `Exposure`."""

    sequence: int
    request_id: str
    variant: str
    model_version: str
    is_dealt: bool
    items: tuple[str, ...]
    answered_at: int


class ImpressionTable:
    """The record of what was shown; every method may raise UnavailableError: the store does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, exposures: Sequence[Impression]) -> int:
        """Write exposures in one transaction, but for those of users who were erased since; say how many."""
        with self._database.writing() as connection:
            _lock(connection, "pg_advisory_xact_lock_shared")
            erased = _erasures(connection, {one.user_id for one in exposures if one.user_id is not None})
            rows = [_row(one) for one in exposures if one.answered_at > erased.get(one.user_id or "", -1)]
            if rows:
                connection.execute(insert(IMPRESSIONS), rows)
        return len(rows)

    def of_user(self, user_id: str, limit: int, before: int | None = None) -> list[HeldExposure]:
        """The newest `limit` exposures of a user, or those before a sequence."""
        query = select(*(IMPRESSIONS.c[name] for name in HeldExposure._fields)).where(about(user_id))
        if before is not None:
            query = query.where(IMPRESSIONS.c.sequence < before)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(IMPRESSIONS.c.sequence.desc()).limit(limit)).all()
        return [_held(row) for row in rows]

    def count(self, user_id: str) -> int:
        """Exposures of a user."""
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(IMPRESSIONS).where(about(user_id))).scalar_one()


def about(user_id: str) -> ColumnElement[bool]:
    """What tells of a user: lists for the user by name, and those without a name that the user's events follow."""
    followed = select(EVENTS.c.request_id).where(EVENTS.c.user_id == user_id, EVENTS.c.request_id.is_not(None))
    unnamed = IMPRESSIONS.c.user_id.is_(None) & IMPRESSIONS.c.request_id.in_(followed)
    return or_(IMPRESSIONS.c.user_id == user_id, unnamed)


def erase_impressions(connection: Connection, user_id: str) -> int:
    """Forget what was shown to a user, and see to it that what is still to be written is not; say how many there were.

    It must come before the user's events are erased: they lead to lists without a name.
    """
    _lock(connection, "pg_advisory_xact_lock")
    now = timestamps.now()
    connection.execute(delete(ERASURES).where(ERASURES.c.erased_at < now - ERASURES_KEPT_SECONDS * MICROSECONDS))
    added = INSERTS[connection.dialect.name](ERASURES).values(user_digest=_digest(user_id), erased_at=now)
    connection.execute(added.on_conflict_do_update(index_elements=[ERASURES.c.user_digest], set_={"erased_at": now}))
    return connection.execute(delete(IMPRESSIONS).where(about(user_id))).rowcount


def _erasures(connection: Connection, user_ids: set[str]) -> dict[str, int]:
    """User -> when erased, of those that were lately."""
    digests = {_digest(user_id): user_id for user_id in user_ids}
    known, found = list(digests), {}
    for start in range(0, len(known), CHUNK):
        query = select(ERASURES.c.user_digest, ERASURES.c.erased_at)
        for digest, moment in connection.execute(query.where(ERASURES.c.user_digest.in_(known[start : start + CHUNK]))):
            found[digests[bytes(digest)]] = moment
    return found


def _lock(connection: Connection, function: str) -> None:
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        connection.execute(text(f"SELECT {function}(:key)"), {"key": LOCK})


def _row(impression: Impression) -> dict[str, Any]:
    return impression._asdict() | {"items": json.dumps(impression.items)}


def _held(row: Row[Any]) -> HeldExposure:
    return HeldExposure(**row._asdict() | {"items": tuple(json.loads(row.items))})


def _digest(user_id: str) -> bytes:
    return blake2b(user_id.encode(), digest_size=16).digest()
