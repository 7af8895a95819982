"""The MLflow store that is a file: made by one process, and moved along when RECSYS_HOME moves.

MLflow writes down in full where artifacts lie. The addresses of those that lie under RECSYS_HOME are written anew when
the store is opened in another place; all others stay.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from recsys_vae.errors import StorageError
from recsys_vae.home import home
from recsys_vae.locks import exclusive
from recsys_vae.tracking_store import artifact_root, default_database, default_tracking_uri

SQLITE: Final = "sqlite:///"
PATIENCE: Final = 180.0
"""Seconds to wait for another process that makes the store; MLflow takes ten, longer on a busy machine."""
ADDRESSES: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns of MLflow's that hold addresses of artifacts."""

logger = logging.getLogger(__name__)


@contextmanager
def opening(uri: str) -> Iterator[None]:
    """Open a store in here; a file, one process at a time: one makes and migrates it, the others find it made.

    Raises:
        BusyError: another process has not ended with that in minutes.
        StorageError: RECSYS_HOME was moved to where nothing may be written.
    """
    file = Path(uri.removeprefix(SQLITE).partition("?")[0])
    if not uri.startswith(SQLITE) or not file.parent.is_dir():
        yield
        return
    with exclusive(file, wait=PATIENCE):
        if uri == default_tracking_uri():
            follow_home()
        yield


def follow_home() -> None:
    """Where RECSYS_HOME has moved since the store was written, write its addresses anew.

    Raises:
        StorageError: nothing may be written here.
    """
    database = default_database()
    if not database.is_file() or not _former_roots(database):
        return
    try:
        with exclusive(database, wait=PATIENCE), closing(sqlite3.connect(database, timeout=PATIENCE)) as connection:
            for root in _former_roots(database):
                with connection:
                    _rewrite(connection, f"{root}/", f"{artifact_root().as_uri()}/")
                logger.warning("RECSYS_HOME has moved to %s: its MLflow store follows, from %s.", home(), root)
    except (StorageError, sqlite3.OperationalError) as error:
        raise StorageError(
            f"RECSYS_HOME has moved to {home()}, and the addresses in its MLflow store cannot be written anew: {error} "
            "Run `recsys doctor` once where the folder may be written to."
        ) from error


def _former_roots(database: Path) -> list[str]:
    """Where artifacts of this store lay, as addresses, other than now."""
    try:
        found = _locations(database, "ro")
    except sqlite3.OperationalError:  # a writer that was killed left a journal, which takes a writer to roll back
        found = _locations(database, "rw")
    now, marker = artifact_root(), f"/{artifact_root().name}/"
    roots = set()
    for (location,) in found:
        root, _, name = (location or "").rpartition(marker)
        if root.startswith("file:///") and root != now.parent.as_uri() and (now / name).exists():
            roots.add(root + marker[:-1])
    return sorted(roots)


def _locations(database: Path, mode: str) -> list[tuple[str | None]]:
    """Where the artifacts of each experiment lie; nothing where MLflow has not made its tables yet."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode={mode}", uri=True, timeout=PATIENCE)) as connection:
        if not _has(connection, *ADDRESSES[0]):
            return []
        return connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()


def _rewrite(connection: sqlite3.Connection, old: str, new: str) -> None:
    for table, column in ADDRESSES:
        if _has(connection, table, column):
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                (new, len(old) + 1, len(old), old),
            )


def _has(connection: sqlite3.Connection, table: str, column: str) -> bool:
    return column in [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
