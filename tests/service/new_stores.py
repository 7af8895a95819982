"""New stores without the tenth of a second in which Alembic makes one: they are made as the first one came out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alembic.config import Config
from sqlalchemy import Connection, event, inspect

READS = ("SELECT", "SET LOCAL")


class CopiedStores:
    """In place of `alembic.command.upgrade`: migrates the first empty store of each kind, and makes the others like it.

    Stores with tables in them, and those of MLflow, are migrated as ever.

    Args:
        upgrade: what it is in place of.
    """

    def __init__(self, upgrade: Callable[..., None]) -> None:
        self.upgrade = upgrade
        self._known: dict[str, list[str]] = {}

    def __call__(self, config: Config, revision: str, **more: Any) -> None:
        """Bring a store up to date."""
        connection: Any = config.attributes.get("connection")
        is_ours = config.get_main_option("script_location") == "service.store:migrations"
        if not is_ours or inspect(connection).get_table_names():
            self.upgrade(config, revision, **more)
            return
        kind, driver = connection.dialect.name, connection.connection.driver_connection
        if kind in self._known:
            for statement in self._known[kind]:
                driver.execute(statement)
            return
        with _changes(connection) as changes:
            self.upgrade(config, revision, **more)
        if kind == "sqlite":
            self._known[kind] = [line for line in driver.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;")]
        else:
            self._known[kind] = [";\n".join(changes)]  # in one message


@contextmanager
def _changes(connection: Connection) -> Iterator[list[str]]:
    made: list[str] = []

    def keep(_: Connection, __: object, statement: str, parameters: object, *___: object) -> None:
        if not statement.startswith(READS):
            assert not parameters, statement
            made.append(statement)

    event.listen(connection, "before_cursor_execute", keep)
    try:
        yield made
    finally:
        event.remove(connection, "before_cursor_execute", keep)
