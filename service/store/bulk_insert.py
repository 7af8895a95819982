"""Intake: how events get into the tables, a few at a time or by the thousands."""

from collections.abc import Iterable, Sequence
from secrets import randbelow
from typing import Any

from sqlalchemy import Connection, bindparam, delete, text
from sqlalchemy.dialects import postgresql, sqlite

from service.store.tables import EVENTS, USERS

INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
COLUMNS = tuple(column.name for column in EVENTS.c if column is not EVENTS.c.sequence)
Row = tuple[Any, ...]
"""As long as `COLUMNS`."""
FEW = 100
"""Users up to which PostgreSQL takes them one by one as fast as all at once."""
TOUCH_MANY = (
    "INSERT INTO users (user_id, version) SELECT user_id, :version FROM unnest(CAST(:users AS varchar[])) AS user_id "
    'ORDER BY user_id COLLATE "C" ON CONFLICT (user_id) DO UPDATE SET version = excluded.version'
)


def touch_users(connection: Connection, user_ids: Iterable[str]) -> None:
    """Give users another version; until this transaction ends, no other one changes their events.

    In the ids' order, so that two transactions with users in common do not wait for each other.
    """
    users, version = sorted(set(user_ids)), new_version()
    if not users:
        return
    if connection.dialect.name == "postgresql" and len(users) > FEW:
        connection.execute(text(TOUCH_MANY), {"users": users, "version": version})
        return
    insert = INSERTS[connection.dialect.name](USERS)
    upsert = insert.on_conflict_do_update(index_elements=[USERS.c.user_id], set_={"version": insert.excluded.version})
    connection.execute(upsert, [{"user_id": user_id, "version": version} for user_id in users])


def drop_users(connection: Connection, user_ids: Iterable[str]) -> None:
    """Take back that users were touched of whom nothing is held."""
    users = sorted(user_ids)
    if users:
        connection.execute(delete(USERS).where(USERS.c.user_id == bindparam("who")), [{"who": user} for user in users])


def new_version() -> int:
    """A version that no user has had."""
    return 1 + randbelow(2**63 - 1)


def insert_few(connection: Connection, rows: Sequence[Row]) -> set[bytes]:
    """Insert what is new, and return its identities; the users must have been touched."""
    insert = INSERTS[connection.dialect.name](EVENTS).on_conflict_do_nothing().returning(EVENTS.c.identity)
    return set(connection.execute(insert, [dict(zip(COLUMNS, row, strict=True)) for row in rows]).scalars())


def insert_many(connection: Connection, rows: Sequence[Row]) -> int:
    """Insert what is new, and return its number: by the fastest way that the database has; the users must have been
    touched.
    """  # fmt: skip
    if not rows:
        return 0
    return (_copy if connection.dialect.name == "postgresql" else _execute_many)(connection, rows)


def _execute_many(connection: Connection, rows: Sequence[Row]) -> int:
    insert = sqlite.insert(EVENTS).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    return connection.execute(insert, [dict(zip(COLUMNS, row, strict=True)) for row in rows]).rowcount


def _copy(connection: Connection, rows: Sequence[Row]) -> int:
    columns = ", ".join(COLUMNS)
    connection.execute(
        text(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS incoming ON COMMIT DROP AS "
            f"SELECT 0 AS place, {columns} FROM events WITH NO DATA"
        )
    )
    connection.execute(text("TRUNCATE incoming"))
    driver: Any = connection.connection.driver_connection
    with driver.cursor().copy(f"COPY incoming (place, {columns}) FROM STDIN") as copy:
        for place, row in enumerate(rows):
            copy.write_row((place, *row))
    insert = f"INSERT INTO events ({columns}) SELECT {columns} FROM incoming ORDER BY place ON CONFLICT DO NOTHING"
    return connection.execute(text(insert)).rowcount
