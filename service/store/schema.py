"""The schema of a store, brought up to date by the migrations beside this file."""

import logging
from threading import Lock
from typing import Final

from sqlalchemy import Connection, inspect, text

from recsys_vae.errors import ConfigError

HEAD: Final = "v11_items_by_day"
"""The last migration."""
VERSION_TABLE: Final = "recsys_schema"
"""Not Alembic's usual name: MLflow keeps its own schema's version under that one, perhaps in the same database."""
ADVISORY_LOCK: Final = 0x7265_6373_7973  # "recsys"
ONE_AT_A_TIME: Final = Lock()
"""Migrations reach Alembic by globals of its own, so two stores of one process must not be upgraded together."""


def is_current(connection: Connection) -> bool:
    """Whether no migration is missing."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return False
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all() == [HEAD]


def upgrade(connection: Connection) -> None:
    """Apply what is missing, within a transaction that writes; another process that does the same is waited for.

    Raises:
        ConfigError: the store was made by a newer version.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells every plugin that it loads
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "service.store:migrations")
    try:
        with ONE_AT_A_TIME:
            command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigError(f"The store was made by a newer version ({error}). Upgrade recsys_vae.") from error
