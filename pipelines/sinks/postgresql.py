"""PostgreSQL: lists by COPY into a new table, which takes the place of the old one within one transaction.

Whoever reads meanwhile sees the old lists or the new ones, whole. A table is replaced only where its comment says that
this program made it.
"""

from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pyarrow.parquet as pq

from pipelines.sources.databases import connected
from pipelines.sources.kinds import without_user
from recsys_vae.errors import ConfigError, RecsysError, UnavailableError, first_line

MARK: Final = "lists by recsys recommend"
ROWS: Final = 100_000


def replace_table(lists: Path, address: str, table: str) -> None:
    """Put a Parquet file of lists in the place of a table, with an index by user.

    Args:
        address: `postgresql://user@host/name`; the password may stand in PGPASSWORD or in a password file.
        table: its name, perhaps with its schema before a dot.

    Raises:
        ConfigError: another table has that name, or there is no such schema.
        UnavailableError: the database does not answer, or refuses.
    """
    schema, _, name = table.rpartition(".")
    new = f"{name}_new_{uuid4().hex[:8]}"
    file = pq.ParquetFile(lists)
    try:
        with connected(address) as connection, connection.cursor() as cursor:
            within = f'"{schema}".' if schema else ""
            _check(cursor, within, name, table)
            reader = file.schema_arrow.empty_table().to_reader()
            cursor.adbc_ingest(new, reader, mode="create", db_schema_name=schema or None)
            for batch in file.iter_batches(ROWS):
                cursor.adbc_ingest(new, batch, mode="append", db_schema_name=schema or None)
            for statement in _swap(within, name, new):
                cursor.execute(statement)
            connection.commit()
    except RecsysError:
        raise
    except Exception as error:
        raise UnavailableError(f"{without_user(address)} does not take the lists: {first_line(error)}") from error


def _check(cursor: Any, within: str, name: str, table: str) -> None:
    place = f"to_regclass('{within}\"{name}\"')"
    cursor.execute(f"SELECT {place} IS NOT NULL, obj_description({place}, 'pg_class')")
    stands, comment = cursor.fetchone()
    if stands and not (comment or "").startswith(MARK):
        raise ConfigError(
            f"The table {table} is left as it is: `recsys recommend` has not made it. Name another one: --table NAME."
        )


def _swap(within: str, name: str, new: str) -> list[str]:
    return [
        f'CREATE INDEX "{new}_by_user" ON {within}"{new}" (user_id)',
        f"COMMENT ON TABLE {within}\"{new}\" IS '{MARK}'",
        f'DROP TABLE IF EXISTS {within}"{name}"',
        f'ALTER TABLE {within}"{new}" RENAME TO "{name}"',
    ]
