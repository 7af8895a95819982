"""Tombstones: who was erased, so that nothing that still lies elsewhere brings them back. Kept for good, as digests.

What lies elsewhere: datasets that are loaded again, requests that are sent again, lists that other processes have still
to record. A user comes back by an event of after the erasure that is sent to the service; from then on imports count
too, for what happened after the erasure. Nothing that happened before, or at an unknown time, ever comes back.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, select, text, update

from service import timestamps
from service.store.bulk_insert import FEW, INSERTS
from service.store.tables import ERASURES

LOCK: Final = 0x7265_6373_7973_01
"""Of PostgreSQL's advisory locks: shared by those who write exposures, exclusive to those who erase a user."""
CHUNK: Final = 5_000
"""Digests asked for in one statement."""


class Tombstone(NamedTuple):
    """That a user was erased.

    Attributes:
        sequence: grows with every erasure of the store, in the order in which they were committed.
        erased_at: in microseconds since 1970, UTC.
        returned_at: when an event of after the erasure was sent; None while none was.
    """

    sequence: int
    erased_at: int
    returned_at: int | None

    def admits_sent(self, timestamp: int | None) -> bool:
        """Whether an event of this time that is sent to the service is taken."""
        return timestamp is not None and timestamp > self.erased_at

    def admits_imported(self, timestamp: int | None) -> bool:
        """The same for one of a dataset."""
        return self.returned_at is not None and self.admits_sent(timestamp)


def bury(connection: Connection, user_id: str) -> None:
    """Write down that a user is erased now; until this transaction ends, nobody records what was shown to anybody."""
    _lock(connection, "pg_advisory_xact_lock")
    told = {"erased_at": timestamps.now(), "sequence": last_erasure(connection) + 1, "returned_at": None}
    added = INSERTS[connection.dialect.name](ERASURES).values(user_digest=_digest(user_id), **told)
    connection.execute(added.on_conflict_do_update(index_elements=[ERASURES.c.user_digest], set_=told))


def let_nobody_be_buried(connection: Connection) -> None:
    """Until this transaction ends, no user is erased."""
    _lock(connection, "pg_advisory_xact_lock_shared")


def last_erasure(connection: Connection) -> int:
    """Sequence of the last erasure; 0 where there was none."""
    return connection.execute(select(func.max(ERASURES.c.sequence))).scalar() or 0


def tombstones(connection: Connection, user_ids: Iterable[str]) -> dict[str, Tombstone]:
    """User -> tombstone, of those among the users who were erased."""
    users = list(user_ids)
    if len(users) > FEW and not last_erasure(connection):
        return {}
    digests = {_digest(user_id): user_id for user_id in users}
    known = list(digests)
    query = select(ERASURES.c.user_digest, *(ERASURES.c[name] for name in Tombstone._fields))
    found = {}
    for start in range(0, len(known), CHUNK):
        chunk = query.where(ERASURES.c.user_digest.in_(known[start : start + CHUNK]))
        for digest, *told in connection.execute(chunk):
            found[digests[bytes(digest)]] = Tombstone(*told)
    return found


def welcome_back(connection: Connection, user_ids: Iterable[str]) -> None:
    """Write down that users who were erased have sent something since."""
    for user_id in sorted(user_ids):
        returned = update(ERASURES).where(ERASURES.c.user_digest == _digest(user_id))
        connection.execute(returned.values(returned_at=timestamps.now()))


def _lock(connection: Connection, function: str) -> None:
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        connection.execute(text(f"SELECT {function}(:key)"), {"key": LOCK})


def _digest(user_id: str) -> bytes:
    return blake2b(user_id.encode(), digest_size=16).digest()
