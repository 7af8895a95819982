"""Database: transactions on a store that may be down, and is used again once it is back."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from recsys_vae.errors import UnavailableError
from service.store import schema
from service.store.connections import WAIT_SECONDS, WRITES, connect_lazily

logger = logging.getLogger("recsys.service")


class Database:
    """A store in SQLite or PostgreSQL, connected to when it is asked; its schema is brought up to date first.

    Args:
        url: of SQLAlchemy's form, such as `sqlite:///events.db` or `postgresql+psycopg://user:password@host/name`.
        on_failure: told when it does not answer, and whether to a `read` or a `write`.
        wait_seconds: how long a connection, a lock, or a network that has gone silent is waited for.

    Raises:
        ConfigError: the URL is malformed, names another kind of database, or its driver is not installed.
    """

    def __init__(
        self,
        url: str,
        on_failure: Callable[[str], None] = lambda operation: None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._on_failure = on_failure
        self._engine = connect_lazily(url, wait_seconds)
        self._writing_engine = self._engine.execution_options(**{WRITES: True})
        # On PostgreSQL, a transaction around one statement costs two round trips more.
        is_remote = self._engine.dialect.name == "postgresql"
        self._look_up_engine = (
            self._engine.execution_options(isolation_level="AUTOCOMMIT") if is_remote else self._engine
        )
        self._is_prepared = False
        self._holds_erased = False

    @property
    def address(self) -> str:
        """The URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    @property
    def has_one_writer(self) -> bool:
        """Whether transactions that write wait for each other, whatever they write."""
        return self._engine.dialect.name == "sqlite"

    @property
    def exists(self) -> bool:
        """Whether there may be anything in it: a file of SQLite is made only when it is first asked."""
        return not self.has_one_writer or Path(self._engine.url.database or "").is_file()

    @property
    def driver_error(self) -> type[Exception]:
        """What the driver raises."""
        found: type[Exception] = self._engine.dialect.loaded_dbapi.Error
        return found

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads.

        Raises:
            UnavailableError: the store does not answer.
        """
        with self._translated("read"):
            self._prepare()
            with self._engine.connect() as connection:
                yield connection

    @contextmanager
    def looking_up(self) -> Iterator[Connection]:
        """A connection for one statement that reads.

        Raises:
            UnavailableError: the store does not answer.
        """
        with self._translated("read"):
            self._prepare()
            with self._look_up_engine.connect() as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at the end, or not at all.

        Raises:
            UnavailableError: the store does not answer, or did not say that it has committed.
        """
        with self._translated("write"):
            self._prepare()
            with self._writing_engine.begin() as connection:
                yield connection
        if self._holds_erased:
            with suppress(UnavailableError):  # what was to be written is
                self._try_to_empty_log(waits=False)

    @contextmanager
    def lent(self) -> Iterator[Any]:
        """A connection of the driver's own, each statement by itself, until it is given back.

        Raises:
            UnavailableError: the store does not answer.
        """
        with self._translated("read"):
            self._prepare()
            with self._look_up_engine.connect() as connection:
                yield connection.connection.driver_connection

    def empty_log(self) -> None:
        """Have SQLite's write-ahead log hold nothing of what was erased before.

        Whoever reads at the moment is waited for, as long as for a lock; later transactions try again then. Only a log
        says so: what was erased is gone from the store either way. PostgreSQL's log is not ours to empty.
        """
        if self._engine.dialect.name != "sqlite":
            return
        self._holds_erased = True
        self._try_to_empty_log(waits=True)
        if self._holds_erased:
            logger.warning("SQLite's write-ahead log still holds what was erased: somebody reads. It is tried again.")

    def close(self) -> None:
        """Give all connections back."""
        if self._holds_erased:
            with suppress(UnavailableError):
                self._try_to_empty_log(waits=True)
        self._engine.dispose()

    def _try_to_empty_log(self, *, waits: bool) -> None:
        with self._translated("write"), self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            [patience] = driver.execute("PRAGMA busy_timeout").fetchone()
            try:
                driver.execute(f"PRAGMA busy_timeout = {patience if waits else 0}")
                is_busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                driver.execute(f"PRAGMA busy_timeout = {patience}")
            self._holds_erased = bool(is_busy)

    @contextmanager
    def _translated(self, operation: str) -> Iterator[None]:
        try:
            yield
        except (DataError, IntegrityError):
            raise  # the store answers: what it was asked is our mistake
        except (DBAPIError, self._engine.dialect.loaded_dbapi.Error, PoolTimeoutError) as error:
            self._is_prepared = False  # it may come back empty
            self._on_failure(operation)
            raise self._unavailable(error.orig if isinstance(error, DBAPIError) else error) from error

    def _prepare(self) -> None:
        if self._is_prepared:
            return
        if self._engine.dialect.name == "sqlite":
            self._make_folder()
        with self._engine.connect() as connection:
            is_current = schema.is_current(connection)
        if not is_current:
            with self._writing_engine.begin() as connection:
                schema.upgrade(connection)
        self._is_prepared = True

    def _make_folder(self) -> None:
        try:
            Path(self._engine.url.database or "").parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unavailable(error) from error

    def failed(self, cause: Exception) -> UnavailableError:
        """What to raise where a connection that was lent does not answer; it may come back empty."""
        self._is_prepared = False
        self._on_failure("read")
        return self._unavailable(cause)

    def _unavailable(self, cause: BaseException | None) -> UnavailableError:
        said = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        return UnavailableError(
            f"The event store {self.address} does not answer: {said}. Check that it runs and may be written to."
        )


class KeptConnection:
    """Asks what is asked again and again, at a tenth of what a connection from the pool costs.

    Args:
        database: which is asked.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._kept = ExitStack()
        self._driver: Any = None

    @property
    def is_busy(self) -> bool:
        """Whether another thread asks at this moment, which would be waited for."""
        return self._lock.locked()

    @property
    def is_open(self) -> bool:
        """Whether a connection is kept by now."""
        return self._driver is not None

    def rows(self, statement: str, *given: object) -> list[tuple[Any, ...]]:
        """What a statement gives, with values for its parameters in the driver's own words.

        Raises:
            UnavailableError: the store does not answer.
        """
        with self._lock:
            if self._driver is not None:
                with suppress(self._database.driver_error):  # it may be the connection only
                    return self._ask(statement, given)
                self._give_back()
            try:
                self._driver = self._kept.enter_context(self._database.lent())
                return self._ask(statement, given)
            except self._database.driver_error as error:
                self._give_back()
                raise self._database.failed(error) from error

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._give_back()

    def _ask(self, statement: str, given: tuple[object, ...]) -> list[tuple[Any, ...]]:
        asked = self._driver.execute(statement, given) if given else self._driver.execute(statement)
        found: list[tuple[Any, ...]] = asked.fetchall()
        return found

    def _give_back(self) -> None:
        self._driver = None
        with suppress(Exception):  # of a connection that broke
            self._kept.close()
        self._kept = ExitStack()
