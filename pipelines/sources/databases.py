"""Databases: what a query finds, batch by batch, as a Parquet file; by ADBC, which hands Arrow batches over."""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.sources.kinds import without_user
from recsys_vae.errors import ConfigError, DataError, UnavailableError, first_line

DRIVERS: Final = {"postgresql": "adbc_driver_postgresql", "sqlite": "adbc_driver_sqlite"}


def read_query(address: str, query: str, to: Path) -> Path:
    """Write what a query finds to a Parquet file; memory holds one batch.

    Raises:
        ConfigError: the database refuses the query, or its driver is not installed.
        DataError: a column is of a type that Parquet does not hold.
        UnavailableError: the database does not answer.
    """
    with connected(address) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(query)
            reader: pa.RecordBatchReader = cursor.fetch_record_batch()
        except Exception as error:
            raise ConfigError(f"{without_user(address)} refuses the query: {first_line(error)}") from error
        try:
            schema = pa.schema([field.with_type(_plain(field.type)) for field in reader.schema])
            with pq.ParquetWriter(to, schema, compression="zstd") as writer:
                for batch in reader:
                    columns = [getattr(column, "storage", column) for column in batch.columns]
                    writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        except pa.ArrowInvalid as error:
            raise DataError(f"What the query finds cannot be kept: {first_line(error)}. Cast the column.") from error
        except pa.ArrowException as error:
            raise UnavailableError(
                f"{without_user(address)} ended before the query did: {first_line(error)}"
            ) from error
    return to


def connected(address: str) -> Any:
    """A connection of ADBC's DBAPI.

    Raises:
        ConfigError: the driver is not installed.
        UnavailableError: the database does not answer.
    """
    kind, _, rest = address.partition("://")
    name = DRIVERS[kind.lower().partition("+")[0]]
    try:
        driver = import_module(f"{name}.dbapi")
    except ImportError as error:
        package = name.replace("_", "-")
        raise ConfigError(f"{kind}:// needs a driver that is not installed: pip install {package}.") from error
    # SQLAlchemy's addresses of SQLite have one stroke more than a path.
    place = rest.removeprefix("/") if kind.startswith("sqlite") else f"postgresql://{rest}"
    if kind.startswith("sqlite") and not Path(place).is_file():
        raise DataError(f"There is no database at {place}.")
    try:
        return driver.connect(place)
    except Exception as error:
        raise UnavailableError(f"{without_user(address)} does not answer: {first_line(error)}") from error


def _plain(kind: pa.DataType) -> pa.DataType:
    """What a value is kept as: PostgreSQL's numeric comes as text in a type of its own, so as not to be rounded."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
