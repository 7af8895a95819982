"""Logins: sessions of pages that were ended, and keys that were tried of late, for all processes that share a store."""

from typing import NamedTuple

from sqlalchemy import Select, delete, insert, select, text

from service.store.database import Database
from service.store.tables import ENDED_SESSIONS, LOGIN_ATTEMPTS

ADVISORY_LOCK = 0x6C6F_6769_6E  # "login"
"""On PostgreSQL, has attempts wait for each other; on SQLite whoever writes does."""


class Attempt(NamedTuple):
    """A key that is tried.

    Attributes:
        number: of the attempt; None where there were too many before.
        oldest: when the oldest of these was, in microseconds since 1970; 0 where the attempt is counted.
    """

    number: int | None
    oldest: int = 0


class LoginTable:
    """The record of a store; every method may raise UnavailableError: the store does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def end(self, nonce: bytes, expiry: int, now: int) -> None:
        """Have a session open nothing more; both times in seconds since 1970. Those that have expired are forgotten."""
        with self._database.writing() as connection:
            connection.execute(delete(ENDED_SESSIONS).where(ENDED_SESSIONS.c.expiry <= now))
            is_known = connection.execute(_session(nonce)).first() is not None
            if not is_known and expiry > now:
                connection.execute(insert(ENDED_SESSIONS), [{"nonce": nonce, "expiry": expiry}])

    def has_ended(self, nonce: bytes) -> bool:
        """Whether a session was ended, by whatever process."""
        with self._database.looking_up() as connection:
            return connection.execute(_session(nonce)).first() is not None

    def begin(self, network: str, now: int, since: int, most: int) -> Attempt:
        """Count an attempt, unless there were as many as may be; those from before are forgotten.

        Args:
            network: that the key is tried from.
            now: in microseconds since 1970.
            since: attempts after this moment count.
            most: so many of one network.
        """
        columns = LOGIN_ATTEMPTS.c
        newest = select(columns.tried_at).where(columns.network == network).order_by(columns.tried_at.desc())
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            connection.execute(delete(LOGIN_ATTEMPTS).where(columns.tried_at <= since))
            found = connection.execute(newest.limit(most)).scalars().all()
            if len(found) == most:
                return Attempt(None, int(found[-1]))
            row = {"network": network, "tried_at": now}
            return Attempt(connection.execute(insert(LOGIN_ATTEMPTS).returning(columns.number), row).scalar_one())

    def take_back(self, number: int) -> None:
        """Not count an attempt: its key was right."""
        with self._database.writing() as connection:
            connection.execute(delete(LOGIN_ATTEMPTS).where(LOGIN_ATTEMPTS.c.number == number))


def _session(nonce: bytes) -> Select[tuple[bytes]]:
    return select(ENDED_SESSIONS.c.nonce).where(ENDED_SESSIONS.c.nonce == nonce)
