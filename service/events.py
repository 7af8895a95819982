"""EventStore: who did what, append-only, in SQLite (one machine) or PostgreSQL (several).

An event has an identity within its source: loading or sending it again changes nothing. `sequence` grows with every
event that is taken, so a user's largest one says whether anything is new about that user.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    event,
    func,
    make_url,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from recsys_vae.errors import ConfigError, UnavailableError

METADATA = MetaData()
EVENTS = Table(
    "events",
    METADATA,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("identity", LargeBinary(16), nullable=False, unique=True),
    Column("source", String, nullable=False),
    Column("user_id", String, nullable=False),
    Column("item_id", String, nullable=False),
    Column("event_type", String),
    Column("weight", Float, nullable=False),
    Column("timestamp", BigInteger, comment="microseconds since 1970, UTC"),
    Index("events_by_user", "user_id", "sequence"),
)
INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
WAIT_SECONDS = 5
"""How long a connection, or SQLite's lock, is waited for."""


class Event(NamedTuple):
    """One event.

    Attributes:
        identity: what makes it the same event within its source when it comes again.
        user_id: who.
        item_id: with what.
        event_type: how; None where the source knows one kind only.
        weight: how much, > 0.
        timestamp: when, in microseconds since 1970, UTC; None where unknown.
    """

    identity: str
    user_id: str
    item_id: str
    event_type: str | None
    weight: float
    timestamp: int | None


@dataclass(frozen=True)
class UserHistory:
    """What a user has done, one entry an item, least recent first.

    Attributes:
        item_ids: distinct.
        weights: sums of the events' weights, as long as `item_ids`.
        sequence: of the user's last event; 0 where there is none.
    """

    item_ids: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    sequence: int = 0


class EventStore:
    """Events in a database, reached when they are asked for: a store that was down is used again once it is back.

    Args:
        url: of SQLAlchemy's form, such as `sqlite:///events.db` or `postgresql+psycopg://user:password@host/name`.

    Raises:
        ConfigError: the URL is malformed, names another kind of database, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self._engine = _connect_lazily(url)
        self._insert = INSERTS[self._engine.dialect.name]
        self._is_prepared = False

    @property
    def address(self) -> str:
        """The URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    def history(self, user_id: str, until: int | None = None) -> UserHistory:
        """What is known of a user; empty for a user who was never seen.

        Args:
            user_id: who.
            until: take events up to this sequence only: the history as it was then.

        Raises:
            UnavailableError: the store does not answer.
        """
        last = func.max(EVENTS.c.sequence)
        query = select(EVENTS.c.item_id, func.sum(EVENTS.c.weight), last).where(EVENTS.c.user_id == user_id)
        if until is not None:
            query = query.where(EVENTS.c.sequence <= until)
        with self._transaction() as connection:
            rows = connection.execute(query.group_by(EVENTS.c.item_id).order_by(last)).all()
        if not rows:
            return UserHistory()
        item_ids, weights, sequences = zip(*rows, strict=True)
        return UserHistory(item_ids, weights, sequences[-1])

    def append(self, batches: Iterable[list[Event]], source: str) -> int:
        """Take events, a transaction a batch, and say how many of them were new.

        Raises:
            UnavailableError: the store does not answer; whole batches may have been taken, and come to no harm again.
        """
        taken = 0
        for batch in batches:
            with self._transaction() as connection:
                taken += self._take(connection, batch, source)
        return taken

    def replace(self, batches: Iterable[list[Event]], source: str) -> int:
        """Forget all events of a source and take these, in one transaction; say how many were taken."""
        with self._transaction() as connection:
            connection.execute(delete(EVENTS).where(EVENTS.c.source == source))
            return sum(self._take(connection, batch, source) for batch in batches)

    def sources(self) -> list[str]:
        """Where the events come from, in order."""
        with self._transaction() as connection:
            return list(connection.execute(select(EVENTS.c.source).distinct().order_by(EVENTS.c.source)).scalars())

    def count(self) -> int:
        """Number of events."""
        with self._transaction() as connection:
            return connection.execute(select(func.count()).select_from(EVENTS)).scalar_one()

    def check(self) -> None:
        """Raise UnavailableError unless the store answers."""
        with self._transaction() as connection:
            connection.execute(select(EVENTS.c.sequence).limit(1))

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def _take(self, connection: Connection, batch: list[Event], source: str) -> int:
        if not batch:
            return 0
        rows = [{**item._asdict(), "identity": _digest(source, item.identity), "source": source} for item in batch]
        statement = self._insert(EVENTS).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
        return connection.execute(statement, rows).rowcount

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            self._prepare()
            with self._engine.begin() as connection:
                yield connection
        except (DBAPIError, PoolTimeoutError, OSError) as error:
            cause = str(error.orig if isinstance(error, DBAPIError) else error).strip().splitlines()[0]
            raise UnavailableError(
                f"The event store {self.address} does not answer: {cause}. Check that it runs and may be written to."
            ) from error

    def _prepare(self) -> None:
        if self._is_prepared:
            return
        path = self._engine.url.database
        if self._engine.dialect.name == "sqlite" and path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        METADATA.create_all(self._engine)
        self._is_prepared = True


def _connect_lazily(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in INSERTS:
            raise ConfigError(f"Events are kept in SQLite or PostgreSQL, not in {parsed.get_backend_name()!r}.")
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(url)
        return create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": WAIT_SECONDS})
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError("The store is not a database URL; expected one such as sqlite:///events.db.") from error
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The driver of this store, {error.name}, is not installed. Install it (pip install {error.name}), or name "
            "another one in the URL, such as postgresql+psycopg://..."
        ) from error


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": WAIT_SECONDS})

    @event.listens_for(engine, "connect")
    def _durable_and_concurrent(connection: Any, _: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine


def _digest(source: str, identity: str) -> bytes:
    return blake2b(f"{source}\x1f{identity}".encode(), digest_size=16).digest()
