"""Database: transactions on a store that may be down, and is used again once it is back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from recsys_vae.errors import UnavailableError
from service.store import schema
from service.store.connections import WRITES, connect_lazily


class Database:
    """A store in SQLite or PostgreSQL, connected to when it is asked; its schema is brought up to date first.

    Args:
        url: of SQLAlchemy's form, such as `sqlite:///events.db` or `postgresql+psycopg://user:password@host/name`.

    Raises:
        ConfigError: the URL is malformed, names another kind of database, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self._engine = connect_lazily(url)
        self._writing_engine = self._engine.execution_options(**{WRITES: True})
        # On PostgreSQL, a transaction around one statement costs two round trips more.
        is_remote = self._engine.dialect.name == "postgresql"
        self._look_up_engine = (
            self._engine.execution_options(isolation_level="AUTOCOMMIT") if is_remote else self._engine
        )
        self._is_prepared = False

    @property
    def address(self) -> str:
        """The URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads.

        Raises:
            UnavailableError: the store does not answer.
        """
        with self._translated():
            self._prepare()
            with self._engine.connect() as connection:
                yield connection

    @contextmanager
    def looking_up(self) -> Iterator[Connection]:
        """A connection for one statement that reads.

        Raises:
            UnavailableError: the store does not answer.
        """
        with self._translated():
            self._prepare()
            with self._look_up_engine.connect() as connection:
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at the end, or not at all.

        Raises:
            UnavailableError: the store does not answer, or did not say that it has committed.
        """
        with self._translated():
            self._prepare()
            with self._writing_engine.begin() as connection:
                yield connection

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DataError, IntegrityError):
            raise  # the store answers: what it was asked is our mistake
        except (DBAPIError, self._engine.dialect.loaded_dbapi.Error, PoolTimeoutError) as error:
            self._is_prepared = False  # it may come back empty
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

    def _unavailable(self, cause: BaseException | None) -> UnavailableError:
        said = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        return UnavailableError(
            f"The event store {self.address} does not answer: {said}. Check that it runs and may be written to."
        )
