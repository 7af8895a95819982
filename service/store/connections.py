"""Connections: from a URL to a pool of them, durable and bounded in every wait."""

from collections.abc import Callable
from math import ceil
from random import uniform
from sqlite3 import OperationalError
from time import monotonic, sleep
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from recsys_vae.errors import ConfigError

WAIT_SECONDS = 5.0
"""How long a connection, a lock, or a network that has gone silent is waited for, where nothing else is said."""
POOL_SIZE, POOL_OVERFLOW = 5, 10
"""Connections that a process keeps open to PostgreSQL, and opens beyond them under load."""
RECYCLE_SECONDS = 1800
LOOK_SECONDS = (0.001, 0.005)
"""Between two looks at a lock of SQLite's."""
WRITES = "recsys_writes"
"""Execution option of transactions that write."""


def connect_lazily(url: str, wait_seconds: float = WAIT_SECONDS) -> Engine:
    """An engine that connects when it is first used, and waits so long for a connection, a lock or a silent network.

    Raises:
        ConfigError: the URL is malformed, names another kind of database, or its driver is not installed.
    """
    try:
        parsed = make_url(url)
        kind = parsed.get_backend_name()
        if kind == "sqlite":
            return _sqlite(parsed, wait_seconds)
        if kind == "postgresql":
            return _postgresql(parsed, wait_seconds)
    except (ArgumentError, NoSuchModuleError, ValueError) as error:  # the last: a port that is no number
        raise ConfigError("The store is not a database URL; expected one such as sqlite:///events.db.") from error
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The driver of this store, {error.name}, is not installed. Install it: pip install {error.name}."
        ) from error
    raise ConfigError(f"Events are kept in SQLite or PostgreSQL, not in {kind!r}.")


def _sqlite(url: URL, wait_seconds: float) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise ConfigError("A store in memory forgets all events. Name a file, such as sqlite:///events.db.")
    engine = create_engine(url, connect_args={} if "timeout" in url.query else {"timeout": wait_seconds})

    @event.listens_for(engine, "connect")
    def _durable_and_concurrent(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin below, not where Python's driver guesses
        _keep_write_ahead_log(connection, wait_seconds)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")  # what is erased is overwritten

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A transaction that reads first and then writes cannot wait for the lock: what it has read may be out of date.
        if connection.get_execution_options().get(WRITES, False):
            _begin_to_write(connection.connection.driver_connection)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _begin_to_write(connection: Any) -> None:
    # SQLite's own wait looks every 100 ms: beside a busy writer that is often never, as nothing deals out turns. Who
    # looks often, at random moments, finds the gap between two transactions.
    [patience] = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        _retry_while_locked(lambda: connection.execute("BEGIN IMMEDIATE"), patience / 1000)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {patience}")


def _keep_write_ahead_log(connection: Any, wait_seconds: float) -> None:
    # SQLite does not wait for this lock whatever its timeout, and several processes may make one new file at once.
    _retry_while_locked(lambda: connection.execute("PRAGMA journal_mode=WAL"), wait_seconds)


def _retry_while_locked(step: Callable[[], object], seconds: float) -> None:
    give_up = monotonic() + seconds
    while True:
        try:
            step()
            return
        except OperationalError as error:
            if "locked" not in str(error) or monotonic() > give_up:
                raise
            sleep(uniform(*LOOK_SECONDS))


def _postgresql(url: URL, wait_seconds: float) -> Engine:
    if "+" not in url.drivername:
        url = url.set(drivername="postgresql+psycopg")
    if url.get_driver_name() != "psycopg":
        raise ConfigError(f"PostgreSQL is reached by psycopg, not by {url.get_driver_name()}: postgresql+psycopg://...")
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=wait_seconds,
        pool_recycle=RECYCLE_SECONDS,
        # Without the latter, a connection whose network has gone silent is waited for a quarter of an hour.
        connect_args={"connect_timeout": max(2, ceil(wait_seconds)), "tcp_user_timeout": ceil(wait_seconds * 1000)},
    )

    @event.listens_for(engine, "connect")
    def _bounded(connection: Any, _: object) -> None:
        connection.execute(f"SET lock_timeout = '{ceil(wait_seconds * 1000)}ms'")
        connection.commit()

    return engine
